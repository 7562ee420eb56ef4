"""Attacks by name. A new one is a file, a YAML in conf/attack/ and a line here."""

from attacks.badnets import BadNets
from attacks.base import Attack, Mode, poison, stamped
from attacks.blend import Blend
from attacks.none import NoAttack

ATTACKS: dict[str, type[Attack]] = {
    "none": NoAttack,
    "badnets": BadNets,
    "blend": Blend,
}

__all__ = ["ATTACKS", "Attack", "Mode", "poison", "stamped"]
