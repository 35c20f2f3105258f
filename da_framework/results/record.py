"""What a run is recognised by: the hashes of its config, code and data; and its environment."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from da_framework.config.allowlist import named_targets
from da_framework.config.relevance import relevant_config
from da_framework.config.source_code import import_closure, source_file

if TYPE_CHECKING:
    from da_framework.results.record_schema import Environment

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
    targets = (target for _, target, _ in named_targets(relevant_config(config)))
    named = {target.rpartition(".")[0] for target in targets}
    # what a config names in vain is said when the config is checked
    sources = {m for m in named if m.split(".")[0] not in known and source_file(m) is not None}
    digest = hashlib.sha256()
    for module, path in sorted(import_closure({TRAINING, *sources}).items()):
        digest.update(f"{module}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def environment() -> "Environment":
    """Versions and machine, as they stand in the record."""
    versions = {"python": platform.python_version()}
    for library in ("da_framework", *LIBRARIES):
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return {"versions": versions, "platform": platform.platform(), "cpus": os.cpu_count()}
