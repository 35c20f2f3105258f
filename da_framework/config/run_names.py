"""Names of folders: readable, and the same whenever the command is the same."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

IRRELEVANT = (
    "again",
    "callback",
    "checkpoint_every",
    "data_dir",
    "dataset.cache",
    "dataset.data_dir",
    "dataset.denoising.cache",
    "dataset.download",
    "dataset.in_memory",
    "dataset.mirrors",
    "dataset.origin",
    "dataset.timeout",
    "feature_cache",
    "flush_every",
    "inner_steps",
    "logger",
    "paper",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
)
"""Keys that are not meant to change a result: where, how or whether to run and to log."""


def register_resolvers() -> None:
    """The resolvers that ``conf/train.yaml`` uses."""
    OmegaConf.register_new_resolver("da.job", _job, replace=True)
    OmegaConf.register_new_resolver("da.sweep", _sweep, replace=True)


def slug(words: Sequence[str], *, hashed: Sequence[str]) -> str:
    """Words joined by dashes, cut to a bearable length, and a hash of everything."""
    text = "-".join(re.sub(r"[^A-Za-z0-9.+]+", "_", re.sub(r"[][{}'\"]", "", w)) for w in words)
    digest = hashlib.sha256("\n".join(sorted(hashed)).encode()).hexdigest()[:8]
    return f"{text[:80].rstrip('-_')}-{digest}"


def relevant_overrides(overrides: Sequence[str]) -> list[str]:
    """The overrides that make another run, without Hydra's signs."""
    plain = [override.lstrip("+") for override in overrides]
    beside = tuple(f"{key}{sign}" for key in IRRELEVANT for sign in "=.")
    return [o for o in plain if not o.startswith((*beside, "hydra.", "hydra/", "experiments="))]


def short_override(override: str) -> str:
    """An override with the last part of its key alone."""
    return re.sub(r"^[^=]*\.", "", override)


def _job(*, _root_: DictConfig) -> str:
    choices: Any = _root_.hydra.runtime.choices
    own = sorted(relevant_overrides(_root_.hydra.overrides.task))
    shown = [short_override(o) for o in own if not o.startswith(("method=", "dataset="))]
    experiment = [choices.experiments] if choices.get("experiments") else []
    # without one of them (~method) there is no run, which its check says
    return slug(
        [str(choices.get(part)) for part in ("method", "dataset")] + shown,
        hashed=[*own, *experiment],
    )


def _sweep() -> str | None:
    job = HydraConfig.get()
    return Path(job.sweep.dir).name if job.mode == RunMode.MULTIRUN else None
