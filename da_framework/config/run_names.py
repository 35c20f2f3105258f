"""Names of folders: readable, and the same whenever the command is the same."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from da_framework.config.relevance import is_irrelevant

LONGEST = 80
"""Characters of a name before its hash."""


def register_resolvers() -> None:
    """The resolvers that ``conf/train.yaml`` uses."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("da.job", _job, replace=True)
    OmegaConf.register_new_resolver("da.sweep", _sweep, replace=True)


def slug(parts: Sequence[str], *, hashed: Sequence[str], kept: str = "") -> str:
    """Words joined by dashes, cut to a bearable length, and a hash of everything.

    Args:
        parts: the words.
        hashed: what the hash is of.
        kept: one of the words, which a cut leaves, at the end.
    """
    words = [re.sub(r"[^A-Za-z0-9.+]+", "_", re.sub(r"[][{}'\"]", "", w)) for w in parts]
    text = "-".join(words)
    if kept in parts and len("-".join(words[: parts.index(kept) + 1])) > LONGEST:
        end = f"-{words[parts.index(kept)]}"
        text = text[: LONGEST - len(end)].rstrip("-_") + end
    digest = hashlib.sha256("\n".join(sorted(hashed)).encode(errors="surrogateescape")).hexdigest()[
        :8
    ]
    return f"{text[:LONGEST].rstrip('-_')}-{digest}"


def relevant_overrides(overrides: Sequence[str]) -> list[str]:
    """The overrides that make another run, without Hydra's signs."""
    plain = [override.lstrip("+") for override in overrides]
    elsewhere = ("hydra.", "hydra/", "experiments=")
    return [
        override
        for override in plain
        if not override.startswith(elsewhere) and not is_irrelevant(override.partition("=")[0])
    ]


def short_override(override: str) -> str:
    """An override with the last part of its key alone."""
    return re.sub(r"^[^=]*\.", "", override)


def _job(*, _root_: Any) -> str:
    choices: Any = _root_.hydra.runtime.choices
    overrides = sorted(relevant_overrides(_root_.hydra.overrides.task))
    shown = [short_override(o) for o in overrides if not o.startswith(("method=", "dataset="))]
    experiment = [choices.experiments] if choices.get("experiments") else []
    # without one of them (~method) there is no run, which its check says
    return slug(
        [str(choices.get(part)) for part in ("method", "dataset")] + shown,
        hashed=[*overrides, *experiment],
        # by it a start that is trained with the same seed is told from another one
        kept=next((o for o in shown if o.startswith("seed=")), ""),
    )


def _sweep() -> str | None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    job = HydraConfig.get()
    return Path(job.sweep.dir).name if job.mode == RunMode.MULTIRUN else None
