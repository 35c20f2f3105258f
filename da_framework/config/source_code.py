"""Source files, found and read without importing them."""

import ast
import importlib.util
from collections.abc import Iterable
from functools import cache
from pathlib import Path


def find_module(module: str) -> Path | None:
    """The file of a module, or the folder of a package."""
    first, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except ValueError:  # a module of a running program without one
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations is None:
        return Path(spec.origin) if spec.origin and not rest else None
    for root in spec.submodule_search_locations:
        path = Path(root, *rest)
        if path.is_dir():
            return path
        if path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
    return None


def source_file(module: str) -> Path | None:
    """The file with a module's code."""
    path = find_module(module)
    if path is not None and path.is_dir():
        path = path / "__init__.py"
    return path if path is not None and path.suffix == ".py" and path.is_file() else None


def import_closure(modules: Iterable[str]) -> dict[str, Path]:
    """These modules and all that they import from the same packages, by name.

    Raises:
        ImportError: one of these modules has no source.
    """
    waiting = list(modules)
    if lost := [module for module in waiting if source_file(module) is None]:
        raise ImportError(f"no source of {', '.join(lost)}")
    packages = {module.split(".")[0] for module in waiting}
    sources: dict[str, Path] = {}
    seen = set(waiting)
    while waiting:
        path = source_file(module := waiting.pop())
        if path is None:  # what is imported of a module that is none itself
            continue
        sources[module] = path
        names = {
            m for m in imported_modules(path.read_text("utf-8")) if m.split(".")[0] in packages
        }
        waiting += names - seen
        seen |= names
    return sources


BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where statements hold others."""


@cache
def imported_modules(text: str) -> tuple[str, ...]:
    """What a source imports by absolute names; of ``from a import b`` both ``a`` and ``a.b``."""
    names: list[str] = []
    waiting: list[ast.AST] = [ast.parse(text)]
    while waiting:
        node = waiting.pop()
        for block in BLOCKS:  # statements alone: no expression imports
            waiting += getattr(node, block, ())
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)
