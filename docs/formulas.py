"""Formulas of docstrings, from the directives of reStructuredText to those of Markdown."""

import re
import textwrap
from typing import Any

import griffe

BLOCK = re.compile(r"^([ ]*)\.\. math::[ ]*(.*)\n((?:[ ]*\n|\1[ ]+\S.*(?:\n|$))*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]+)`")
DEPARTURE = re.compile(r"(?<=\S)\n([ ]*)(?=Departures?:)")
REFERENCE = re.compile(r":(?:class|func|meth|mod|attr):`~?([^`]+)`")


def to_markdown(docstring: str) -> str:
    """A docstring whose formulas stand between dollar signs."""
    text = DEPARTURE.sub(r"\n\n\1", BLOCK.sub(as_display, docstring))
    return REFERENCE.sub(r"`\1`", INLINE.sub(r"$\1$", text))


def as_display(block: re.Match[str]) -> str:
    """A formula that stands on lines of its own."""
    formula = f"{block[2]}\n{textwrap.dedent(block[3])}".strip()
    return textwrap.indent(f"$$\n{formula}\n$$\n\n", block[1])


class Formulas(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)
