"""The record of a run: written last and by rename, read by everything that reports."""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

from da_framework.config.run_names import IRRELEVANT
from da_framework.config.source_code import import_closure
from da_framework.core.errors import InputError
from da_framework.core.files import LOCK, write_text

RESULT = "result.json"
KEY = "key.txt"
DIVERGED = "diverged.txt"
"""What a run that diverged leaves: at which step, and what was no longer finite."""

LIBRARIES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "hydra-core",
    "numpy",
    "scikit-learn",
    "timm",
    "transformers",
    "wandb",
)


def run_key(config: Mapping[str, Any], data: Mapping[str, str], *, start: str | None = None) -> str:
    """What recognises a finished run: config that can change a number, code, and data.

    Args:
        config: resolved.
        data: fingerprint of each domain.
        start: of the weights it begins with, wherever they lie.
    """
    relevant = without_keys(config, (*IRRELEVANT, "init_from", "network.weights", "teachers"))
    text = json.dumps([relevant, code_hash(config), dict(data), start], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def without_keys(
    config: Mapping[str, Any], paths: tuple[str, ...], prefix: str = ""
) -> dict[str, Any]:
    """A config less these dotted keys."""
    return {
        name: without_keys(value, paths, f"{prefix}{name}.")
        if isinstance(value, Mapping)
        else value
        for name, value in config.items()
        if f"{prefix}{name}" not in paths
    }


def code_hash(config: Mapping[str, Any]) -> str:
    """Hash of the sources that a run imports, ours and its plugins', less what only watches it."""
    known = ("torch", "torchvision", "pytorch_lightning", "timm", "transformers")
    named = {target.rpartition(".")[0] for target in targets(without_keys(config, IRRELEVANT))}
    own = {module for module in named if module.split(".")[0] not in known}
    digest = hashlib.sha256()
    for module, path in sorted(import_closure({"da_framework.training.train", *own}).items()):
        digest.update(f"{module}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def targets(node: Any) -> Iterator[str]:
    """Every ``_target_`` in a config."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield node["_target_"]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record in a folder; none if there is none.

    Raises:
        InputError: the file is damaged, or not a record of ours.
    """
    file = folder / RESULT
    if not file.is_file():
        return None
    try:
        result = json.loads(file.read_text())
        if not {"key", "config", "target"} <= result.keys():
            raise ValueError("keys are missing")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{file} is damaged or no record of a run ({error}); remove it") from None
    return dict(result)


def write_record(folder: Path, result: Mapping[str, Any]) -> None:
    """Writes the record, whole or not at all."""
    write_text(folder / RESULT, json.dumps(result, indent=1, allow_nan=False) + "\n")


def claim_folder(folder: Path, run_key: str, *, again: bool) -> str | None:
    """Makes a folder this run's own; what another run left in it is moved aside.

    Returns:
        Where to, or none if nothing was in the way.
    """
    mark = folder / KEY
    folder.mkdir(parents=True, exist_ok=True)
    ours = mark.is_file() and mark.read_text().strip() == run_key
    aside: Path | None = None
    # again after a kill goes on: what is unfinished is not what is to be run once more
    if mark.is_file() and (not ours or (again and (folder / RESULT).is_file())):
        aside = next(p for n in count(1) if not (p := folder / f"before-{n}").exists())
        aside.mkdir()
        # the mark goes last: without it, what a kill left here would be taken for ours
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == KEY):
            kept = entry.name.startswith(("before-", ".hydra", LOCK)) or entry.suffix == ".log"
            if not kept:
                shutil.move(entry, aside / entry.name)
    (folder / "checkpoints").mkdir(exist_ok=True)
    write_text(mark, run_key + "\n")
    return str(aside) if aside else None


def environment() -> dict[str, Any]:
    """Versions and machine, as they stand in the record."""
    versions = {"python": platform.python_version()}
    for library in ("da_framework", *LIBRARIES):
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return {"versions": versions, "platform": platform.platform(), "cpus": os.cpu_count()}
