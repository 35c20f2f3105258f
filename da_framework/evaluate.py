"""``da evaluate``: scores the weights of a finished run, on its data or on other."""

import logging
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from da_framework import results
from da_framework.build import build
from da_framework.config import check, instantiate
from da_framework.datasets.base import Dataset
from da_framework.errors import InputError
from da_framework.initial import trust
from da_framework.module import by_domain

log = logging.getLogger(__name__)


def evaluate(
    *, run: str, pick: Literal["last", "chosen"], data_dir: str | None, dataset: dict[str, Any]
) -> dict[str, Any]:
    """Metrics on the target rows that results are about.

    Args:
        run: folder of a finished run.
        pick: which of its weights.
        data_dir: where the data is now; ``None``: where it was.
        dataset: keys of the data set to change.

    Returns:
        The metrics, as in ``result.json``.

    Raises:
        InputError: there is no such run, or its record names code of unknown origin.
    """
    folder = Path(run)
    record = results.read(folder)
    if record is None:
        raise InputError(f"run={run}: there is no {results.RESULT} in this folder")
    weights = folder / "checkpoints" / f"{pick}.ckpt"
    if not weights.is_file():
        raise InputError(f"pick={pick}: {weights} is not there")
    trust(results.targets(record["config"]))
    config = dict(record["config"])
    if data_dir is not None and "data_dir" in config["dataset"]:
        config["dataset"] = config["dataset"] | {"data_dir": data_dir}
    trained = instantiate(config["dataset"])
    config["dataset"] = config["dataset"] | dataset
    built = build(config, initialise=False)
    if count := seen(trained, built.domains.dataset):
        log.warning("warning: %d of these rows were trained on: the accuracy is flattered", count)
    if any(built.domains.dataset.fingerprint(d) != f for d, f in record["data"].items()):
        log.warning("warning: the data is not what the run was trained on")
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)["state_dict"]
        built.module.load_state_dict(state)
    except (RuntimeError, UnpicklingError, EOFError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{weights} is damaged, or of another network or other inputs: {reason}"
        ) from None
    domains = built.domains
    outputs = built.module.method.observe(domains.test)._replace(y=domains.oracle)
    return by_domain(outputs, domains.task)


def seen(trained: Dataset, tested: Dataset) -> int:
    """How many test rows of one assignment are training rows of another.

    Rows trained on without labels count where the protocol promised that they would not be.
    """
    roles = trained.assign().train
    counted = [
        part
        for parts in roles.values()
        for part in parts
        if part.labelled or trained.protocol == "inductive"
    ]
    return sum(
        len(np.intersect1d(part.rows, own.rows))
        for part in tested.assign().test
        for own in counted
        if own.domain == part.domain
    )


def main(config: Mapping[str, Any]) -> float:
    """Evaluates and prints; returns the accuracy."""
    check(config, evaluate)
    found = evaluate(**config)
    table = Table(title=f"{config['run']}: {config['pick']} weights on {found['rows']} target rows")
    figures = ("accuracy", "precision", "recall", "f1", "calibration_error")
    table.add_column("target")
    for name in figures:
        table.add_column(name.replace("_", " "), justify="right")
    for domain, own in {"all": found, **found.get("domains", {})}.items():
        table.add_row(domain, *(f"{own[name]:.4f}" for name in figures))
    Console(highlight=False).print(table)
    return float(found["accuracy"])
