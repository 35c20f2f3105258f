"""Runs of which several tests use copies: each is trained once."""

from typing import Any

KEYS = {
    "tca": ["network=identity"],
    "nearest_neighbor": ["network=identity"],
    "adabn": ["network.backbone.batch_norm=true"],
    "tradaboost": ["network=identity", "dataset.labels_per_class=3"],
}


def plain(da: Any) -> None:
    """A run of the default method, with a choice among four evaluations."""
    da.train_once("plain", "evaluate_every=5")


def of_method(da: Any, method: str) -> None:
    """A run of a few steps."""
    da.train_once(method, f"method={method}", "steps=4", *KEYS.get(method, ()))
