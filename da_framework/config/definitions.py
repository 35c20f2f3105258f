"""What the code says of classes and functions, read from their sources without importing them."""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from da_framework.config.source_code import source_file

ARGUMENT = re.compile(r"^ {4}(?P<names>\*{0,2}\w+(?:, ?\w+)*)(?: \([^)]*\))?: ?(?P<text>.*)$")
SECTION = re.compile(r"^(Args|Attributes):$")


class Definition(NamedTuple):
    """A class or a function.

    Attributes:
        node: its syntax.
        module: where it stands.
    """

    node: ast.ClassDef | ast.FunctionDef
    module: str


@cache
def parse_module(module: str) -> ast.Module | None:
    """The syntax of a module, where its source is found."""
    file = source_file(module)
    return None if file is None else ast.parse(file.read_text("utf-8"))


@cache
def find_definition(target: str) -> Definition | None:
    """The class or function of ``package.module.Name``, through imports of it by name."""
    module, _, name = target.rpartition(".")
    tree = parse_module(module) if module else None
    if tree is None:
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return Definition(node, module)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return find_definition(f"{node.module}.{alias.name}")
    return None


def lineage(target: str) -> Iterator[Definition]:
    """A definition, the key dicts that its arguments unpack, and all that of its bases."""
    found = find_definition(target)
    if found is None:
        return
    yield found
    body = found.node.body if isinstance(found.node, ast.ClassDef) else [found.node]
    makers = [node for node in body if isinstance(node, ast.FunctionDef)]
    for maker in makers:
        rest = maker.args.kwarg
        if (maker is found.node or maker.name == "__init__") and rest and rest.annotation:
            match rest.annotation:
                case ast.Subscript(value=ast.Name(id="Unpack"), slice=ast.Name(id=keys)):
                    yield from lineage(f"{found.module}.{keys}")
    if isinstance(found.node, ast.ClassDef):
        for base in found.node.bases:
            if isinstance(base, ast.Name):
                yield from lineage(f"{found.module}.{base.id}")


def argument_meanings(target: str) -> dict[str, str]:
    """What docstrings say of each argument of ``package.module.Name``, by name."""
    meanings: dict[str, str] = {}
    for definition in lineage(target):
        meanings = described(ast.get_docstring(definition.node) or "") | meanings
    return meanings


def described(docstring: str) -> dict[str, str]:
    """What a docstring says of each argument or attribute, by name."""
    meanings: dict[str, str] = {}
    names: list[str] = []
    inside = False
    for line in inspect.cleandoc(docstring).splitlines():
        if line and not line.startswith(" "):
            inside, names = bool(SECTION.match(line)), []
        elif inside and (begun := ARGUMENT.match(line)):
            names = [name.strip(" *") for name in begun["names"].split(",")]
            meanings |= dict.fromkeys(names, begun["text"])
        else:
            for name in names:
                meanings[name] = f"{meanings[name]} {line.strip()}".strip()
    return meanings


def class_constants(target: str) -> dict[str, Any]:
    """The constants that a class and its bases assign in their bodies; its own come first."""
    constants: dict[str, Any] = {}
    for definition in lineage(target):
        for node in definition.node.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                try:
                    constants.setdefault(node.target.id, ast.literal_eval(node.value))
                except ValueError:
                    continue
    return constants
