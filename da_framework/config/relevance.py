"""Which keys can change a number: all but those that are marked where they are declared.

The marks (``core.types.Irrelevant``) are read from sources: a finished run is recognised, and its
folder named, before anything heavy is imported.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from da_framework.config.plugins import config_roots, read_target
from da_framework.config.source_code import source_file

MARK = re.compile(r"^ +(\w+): Annotated\[.*\bIrrelevant\(([^)]*)\)", re.MULTILINE)
SETTINGS = "da_framework.config.settings"
GROUPS = ("method", "dataset", "network", "validator", "optimizer", "scheduler")
"""Config groups of what a run is built from; what only watches it is marked as a whole."""


@cache
def irrelevant_keys() -> Mapping[str, frozenset[str]]:
    """Names of keys that cannot change a number, by the top-level key that they are below.

    Below ``""`` are top-level keys themselves. Within a group a name means the same at any depth.
    """
    names: dict[str, set[str]] = {"": set()}
    for key, inside in marked_keys(Path(__file__).with_name("settings.py")):
        if inside:
            names.setdefault(key, set()).update(inside)
        else:
            names[""].add(key)
    for group in GROUPS:
        for folder in source_folders(group):
            for file in folder.glob("*.py"):
                names.setdefault(group, set()).update(key for key, _ in marked_keys(file))
    return {group: frozenset(keys) for group, keys in names.items()}


def source_folders(group: str) -> set[Path]:
    """The folders with the sources of what the configs of a group build, plugins' too."""
    files = (file for _, root in config_roots() for file in (root / group).glob("*.yaml"))
    targets = filter(None, (read_target(file.read_text("utf-8")) for file in files))
    sources = {source_file(target.rpartition(".")[0]) for target in targets}
    return {file.parent for file in sources if file is not None}


def marked_keys(file: Path) -> list[tuple[str, list[str]]]:
    """The keys that a source marks, with those within them where not the whole is meant."""
    marks = MARK.findall(file.read_text(encoding="utf-8"))
    return [(key, re.findall(r"\w+", inside)) for key, inside in marks]


def is_irrelevant(key: str) -> bool:
    """Whether a dotted key cannot change a number."""
    group, *below = key.split(".")
    names = irrelevant_keys()
    return group in names[""] or not names.get(group, frozenset()).isdisjoint(below)


def relevant_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config less the keys that cannot change a number."""
    names = irrelevant_keys()
    return {
        group: _without(value, names.get(group, frozenset()))
        for group, value in config.items()
        if group not in names[""]
    }


def _without(node: Any, names: frozenset[str]) -> Any:
    if not isinstance(node, Mapping) or not names:
        return node
    return {key: _without(value, names) for key, value in node.items() if key not in names}
