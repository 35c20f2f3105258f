"""The record of a run: written last and by rename, read by everything that reports."""

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from da_framework.config.relevance import relevant_config
from da_framework.config.source_code import import_closure, source_file

RESULT = "result.json"
KEY = "key.txt"
DIVERGED = "diverged.txt"
"""What a run that diverged leaves: at which step, and what was no longer finite."""

TRAINING = "da_framework.training.train"
"""The module that every run is trained by."""

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
    relevant = without_keys(relevant_config(config), ("init_from", "network.weights", "teachers"))
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
    named = {target.rpartition(".")[0] for target in targets(relevant_config(config))}
    # what a config names in vain is said when the config is checked
    sources = {m for m in named if m.split(".")[0] not in known and source_file(m) is not None}
    digest = hashlib.sha256()
    for module, path in sorted(import_closure({TRAINING, *sources}).items()):
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
    """The record in a folder; none if there is none."""
    from da_framework.results.folder import RunFolder

    record: Any = RunFolder(folder).read_record()
    return record


def write_record(folder: Path, result: Mapping[str, Any]) -> None:
    """Writes the record, whole or not at all."""
    from da_framework.results.folder import RunFolder

    RunFolder(folder).write_record(result)


def claim_folder(folder: Path, run_key: str, *, again: bool) -> str | None:
    """Makes a folder this run's own; what another run left in it is moved aside."""
    from da_framework.results.folder import RunFolder

    aside = RunFolder(folder).claim(run_key, again=again)
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
