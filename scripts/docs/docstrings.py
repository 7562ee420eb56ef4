"""griffe learns to read our code: docstrings are plain text, and fields are declared by functions."""

from __future__ import annotations

import re
from typing import Any

import griffe

SECTION = re.compile(r"[A-Z][a-z]+:")
SIGNS = {"*": "&#42;", "<": "&lt;"}


def markdown(docstring: str) -> str:
    """A docstring as griffe and Markdown read it.

    What stands under `Fields:` are the arguments of a constructor. A star is a star and `<class>` no tag; code is left
    alone: what is between backticks, and the indented lines that stand before the first section.
    """
    lines, sections = [], False
    for line in docstring.splitlines():
        sections |= bool(SECTION.fullmatch(line))
        if sections or not line.startswith("    "):
            line = re.sub(r"(`[^`]*`)|([*<])", lambda found: found[1] or SIGNS[found[2]], line)
        lines.append("Args:" if line == "Fields:" else line)
    return "\n".join(lines)


def default(value: Any) -> Any:
    """What a field is by default, of the expression that declares it.

    `domains.within(0.1, "(0,1]")` and most of `options` take it first, a factory says it, a seed is 0.
    """
    if not isinstance(value, griffe.ExprCall):
        return value
    declared_by = str(value.function)
    if declared_by == "options.seed":
        return "0"
    if declared_by.startswith(("domains.", "options.")):
        return value.arguments[0]
    if declared_by == "field":
        for argument in value.arguments:
            if isinstance(argument, griffe.ExprKeyword) and isinstance(argument.value, griffe.ExprLambda):
                return argument.value.body
    return value


class House(griffe.Extension):
    """Docstrings in our form, and the fields of a dataclass as arguments with their defaults."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        attr.value = default(attr.value)
