"""The lines under `Fields:` of a dataclass's docstring are the arguments of its constructor: griffe learns to read them."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Fields(griffe.Extension):
    """Gives the section the name by which griffe knows it, and with that a type and a default beside each line."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        if cls.docstring:
            cls.docstring.value = re.sub(r"^Fields:$", "Args:", cls.docstring.value, flags=re.MULTILINE)
