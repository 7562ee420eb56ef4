"""Attacks by name. A new one is a file, a YAML in conf/attack/ and a line here."""

from attacks.badnets import BadNets
from attacks.base import Attack, Mode
from attacks.blend import Blend
from attacks.cl import CleanLabel
from attacks.hardened import Hardened
from attacks.images import Images
from attacks.inputaware import InputAware
from attacks.learned import PARTNER, TRAIN_ONLY, Helped, Learned, Lesson, Tensors, trigger_digest
from attacks.lookalike import Lookalike
from attacks.none import NoAttack, Unknown
from attacks.poisoning import changed_index, poison, poisoned_index, stamped
from attacks.refool import Refool
from attacks.sig import Sig
from attacks.trojan import Trojan
from attacks.wanet import WaNet

ATTACKS: dict[str, type[Attack]] = {
    "none": NoAttack,
    "badnets": BadNets,
    "trojan": Trojan,
    "blend": Blend,
    "cl": CleanLabel,
    "sig": Sig,
    "refool": Refool,
    "wanet": WaNet,
    "inputaware": InputAware,
    "hardened": Hardened,
    "lookalike": Lookalike,
    "images": Images,
    "unknown": Unknown,
}

__all__ = [
    "ATTACKS",
    "PARTNER",
    "TRAIN_ONLY",
    "Attack",
    "BadNets",
    "Blend",
    "CleanLabel",
    "Hardened",
    "Helped",
    "Images",
    "InputAware",
    "Learned",
    "Lesson",
    "Lookalike",
    "Mode",
    "NoAttack",
    "Refool",
    "Sig",
    "Tensors",
    "Trojan",
    "Unknown",
    "WaNet",
    "changed_index",
    "poison",
    "poisoned_index",
    "stamped",
    "trigger_digest",
]
