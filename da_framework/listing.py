"""``da list``: what there is to choose from, read from configs and sources without importing them."""

import argparse
import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from omegaconf import OmegaConf

from da_framework.plugins import conf_dir, sources

GROUPS = ("method", "dataset", "network", "validator", "experiments")


def entries(group: str) -> Iterator[tuple[str, str, str]]:
    """Name, one-line summary and origin of every config of a group."""
    for origin, root in roots():
        folder = root / group
        for file in sorted(folder.rglob("*.yaml")):
            yield file.relative_to(folder).with_suffix("").as_posix(), summary(file), origin


def roots() -> Iterator[tuple[str, Path]]:
    """Where configs are, and which package brings them."""
    yield "da_framework", conf_dir()
    for name, path in sources().items():
        spec = importlib.util.find_spec(path.removeprefix("pkg://"))
        for location in (spec.submodule_search_locations or []) if spec else []:
            yield name, Path(location)


def summary(file: Path) -> str:
    """The config's own comment, or the first line of what it builds says of itself."""
    text = file.read_text()
    first = next((line for line in text.splitlines() if line and not line.startswith("# @")), "")
    if first.startswith("#"):
        return first.lstrip("# ")
    target = OmegaConf.create(text).get("_target_")
    return docstring(target) if target else ""


def docstring(target: str) -> str:
    """First line of the docstring of ``package.module.Name``, found in its source."""
    module, _, name = target.rpartition(".")
    try:
        spec = importlib.util.find_spec(module)
    except ImportError as error:
        return f"cannot be found: {error}"
    if spec is None or spec.origin is None:
        return f"cannot be found: {module}"
    for node in ast.parse(Path(spec.origin).read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def main(arguments: list[str]) -> None:
    """``da list [GROUP]``: names, what they are and where they come from."""
    parser = argparse.ArgumentParser(prog="da list", description=main.__doc__)
    parser.add_argument("group", nargs="?", choices=GROUPS)
    chosen = parser.parse_args(arguments).group
    for group in [chosen] if chosen else GROUPS:
        print(f"{group}=")
        found = list(entries(group))
        width = max((len(name) for name, _, _ in found), default=0)
        for name, words, origin in found:
            print(f"  {name:<{width}}  {words}  [{origin}]")
        print()
