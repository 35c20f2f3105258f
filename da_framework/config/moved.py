"""What older records, and people who remember, call by names that have changed since.

A record is read through these tables; a name that is typed ends in an error with the new one.
"""

import marshal
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MODULES = {
    "callbacks.pictures": "results.figure",
    "density_ratios": "methods.reweighting",
    "datasets.denoising": "datasets.msda",
    "datasets.domains": "datasets.datamodule",
    "datasets.stored": "datasets.memmap",
    "datasets.views": "datasets.augmentations",
    "learners.tradaboost": "methods.boosting",
    "loggers.Wandb": "training.loggers.wandb.Wandb",
    "loggers.tensorboard": "training.loggers.tensorboard.tensorboard",
    "optimizers.adam": "training.optimizers.adamw",
    "optimizers.sgd": "training.optimizers.sgd",
    "schedules": "core.schedules",
    "sweeps.Sweep": "cli.sweeps.WatchSweep",
}
"""Modules, or names in them, as they were called below ``da_framework``, and as they are now."""

KEYS = {
    "callback.diagnostics.majority": "callback.diagnostics.max_class_share",
    "callback.diagnostics.pull": "callback.diagnostics.max_gradient_ratio",
    "callback.diagnostics.spread": "callback.diagnostics.min_feature_variance",
}
"""Dotted keys of ``da train``, and what they are called now."""

VALUES: dict[str, tuple[str, dict[Any, Any]]] = {
    "dataset.standardize": ("dataset.scale", {True: "source", False: "none"}),
}
"""Dotted keys whose values have other names now: the key as it is now, and these names."""

CHOICES = {"optimizer": {"adam": "adamw"}}
"""Names of a config group that stood for what has another name now."""

ADDED: dict[str, dict[str, Any]] = {
    "method": {"refresh_every": None, "class_weights": "none"},
    "dataset": {
        "sampler": "shuffled",
        "labelled": None,
        "label_shift": None,
        "weak": None,
        "left_out": None,
        "source_per_class": None,
        "training_samples": None,
    },
    "network": {"batch_norm": False, "recompute": False},
    "da_framework.methods.adda.ADDA": {"reads": "features"},
    "da_framework.datasets.digits.Digits": {"margin": None},
    "da_framework.networks.convnet.ConvNet": {"dropout": 0.0},
    "da_framework.datasets.arrays.Arrays": {"scale": "none", "window": None, "stride": None},
    "da_framework.datasets.table.Table": {
        "columns": "own",
        "categories": [],
        "category_encoding": "one_hot",
        "dates": [],
        "missing": "error",
        "missing_values": None,
        "separator": None,
        "encoding": None,
        "decimal": None,
    },
    "da_framework.datasets.text.Text": {"separator": None, "encoding": None},
}
"""Keys that have come since, of a part or of what builds it, and what was done without them."""

ADDED_ALONE: dict[str, Any] = {
    "early_stopping": None,
    "compile": False,
    "channels_last": False,
    "tf32": "convolutions",
}
"""Likewise, keys of no part."""

FIGURES = {"f1": "macro_f1", "precision": "macro_precision"}
"""Figures of a side, and what they are called now."""

UNSHARED = 2
"""The version of ``marshal`` in which equal values are equal bytes, which nobody reads."""

_OLD = re.compile(r"^da_framework\.(" + "|".join(map(re.escape, MODULES)) + r")(?=\.|$)")


@lru_cache(maxsize=4096)  # a report of thousands of records asks for the same few
def moved_target(target: str) -> str:
    """What a ``_target_`` is called now."""
    return _OLD.sub(lambda match: f"da_framework.{MODULES[match[1]]}", target)


class Parts:
    """What records have in common, renamed once and held once: records of a sweep differ in little.

    What it gives is not to be changed: it is in other records as well.
    """

    def __init__(self) -> None:
        self._moved: dict[tuple[str, bytes], Any] = {}
        self._equal: dict[bytes, Any] = {}

    def moved(self, key: str, part: Any) -> Any:
        """A part of a config, with every target and key as it is called now."""
        known = key, marshal.dumps(part, UNSHARED)
        if known not in self._moved:
            self._moved[known] = moved_part(key, part)
        return self._moved[known]

    def same(self, value: Any) -> Any:
        """The first that was equal to this, of the same types and in the same order."""
        return self._equal.setdefault(marshal.dumps(value, UNSHARED), value)


def moved_config(config: Mapping[str, Any], parts: Parts | None = None) -> dict[str, Any]:
    """The config of a record, with every target and key as it is called now.

    Args:
        config: of a record.
        parts: of records that were read before.
    """
    move = moved_part if parts is None else parts.moved
    return ADDED_ALONE | {key: move(key, part) for key, part in config.items()}


def moved_part(key: str, part: Any) -> Any:
    """A part of a config, with every target and key as it is called now."""
    return with_added(key, _moved(part, key))


def with_added(name: str, part: Any) -> Any:
    """A part of a config, and what is built within it, with the keys that have come since."""
    if not isinstance(part, Mapping):
        return part
    target = part.get("_target_")
    built = target if isinstance(target, str) else ""
    inside = {key: with_added("", value) for key, value in part.items()}
    return {**ADDED.get(name, {}), **ADDED.get(built, {}), **inside}


def moved_record(record: Mapping[str, Any], parts: Parts | None = None) -> dict[str, Any]:
    """A record of a run, with its config and the names of its choices as they are now.

    Args:
        record: of a run.
        parts: of records that were read before.
    """
    if not isinstance(record.get("config"), Mapping):
        return dict(record)
    config = moved_config(record["config"], parts)
    picks = {side: moved_figures(record[side]) for side in ("target", "source") if side in record}
    moved = {**record, "config": config, **picks}
    if config == record["config"] or not isinstance(record.get("choices"), Mapping):
        return moved
    choices = dict(record["choices"])
    for group, names in CHOICES.items():
        if choices.get(group) in names:
            choices[group] = names[choices[group]]
    return {**moved, "choices": choices}


def moved_figures(node: Any) -> Any:
    """Figures of picks or of domains, by the names that they have now."""
    if not isinstance(node, dict):
        return node
    return {
        FIGURES.get(key, key): moved_figures(value) if isinstance(value, dict) else value
        for key, value in node.items()
    }


def moved_key(path: str) -> str:
    """What a dotted key is called now."""
    return VALUES[path][0] if path in VALUES else KEYS.get(path, path)


@lru_cache(maxsize=4096)
def moved_name(path: str, key: str) -> str:
    """What a key below a path is called now; one with dots of its own stays as it is."""
    now = moved_key(f"{path}.{key}")
    return key if now == f"{path}.{key}" else now.rpartition(".")[2]


def _moved(node: Any, path: str) -> Any:
    if isinstance(node, Mapping):
        return {
            moved_name(path, key): (
                moved_target(value)
                if key == "_target_" and isinstance(value, str)
                else _moved(value, f"{path}.{key}")
            )
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_moved(value, path) for value in node]
    if path in VALUES and isinstance(node, bool):
        return VALUES[path][1][node]
    return node
