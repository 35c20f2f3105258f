"""``da evaluate``: scores the weights of a finished run, on its data or on other."""

import logging
from collections.abc import Sequence
from typing import Any, Literal

import torch
from rich.table import Table

from da_framework.cli.shares import print_shares
from da_framework.config.schema import check_config, instantiate, to_plain
from da_framework.core.damage import explain_damage
from da_framework.core.terminal import open_console
from da_framework.core.text import printable
from da_framework.core.types import ConfigNode
from da_framework.datasets.base import Dataset
from da_framework.metrics.classification import metrics_per_domain
from da_framework.results.statistics import NO_LABELS, format_figure
from da_framework.training.label_shift import recalibrate
from da_framework.training.restore import RECORD, count_shared, find_run, load_weights, rebuild
from da_framework.training.warm_start import former_samples

log = logging.getLogger(__name__)


def evaluate(
    *,
    run: str,
    pick: Literal["last", "chosen"],
    data_dir: str | None,
    dataset: dict[str, Any],
    calibration: ConfigNode | None = None,
    label_shift_correction: ConfigNode | None = None,
    trust: Sequence[Any] = (),
) -> dict[str, Any]:
    """Metrics on the target rows that results are about.

    Args:
        run: folder of a finished run.
        pick: which of its weights.
        data_dir: where the data is now; ``None``: where every command looks for data.
        dataset: keys of the data set to change.
        calibration: fitted to the source that the run held out; ``None``: logits as they are.
        label_shift_correction: by which probabilities of each target are corrected for its
            estimated class shares; ``None``: not at all.
        trust: what the record may name beside what installed configs name: see ``find_run``.

    Returns:
        The metrics, as in ``result.json``; with a calibration or a correction, ``label_shift`` as
        well: what was done, with the class shares of each target.

    Raises:
        InputError: there is no such run, or its record names code of unknown origin.
    """
    dataset = {key: value for key, value in dataset.items() if (key, value) != ("root", None)}
    finished = find_run(run, pick=pick, data_dir=data_dir, dataset=dataset, trust=trust)
    check_config({"dataset": finished.config["dataset"]}, lambda dataset: None)
    with explain_damage(finished.result, RECORD):
        trained = instantiate(finished.config["dataset"])
    trained.continue_from(former_samples(finished.record))
    built = rebuild(finished, dataset)
    data = built.domains.dataset
    if count := count_trained_on(trained, data):
        log.warning("warning: %d of these rows were trained on: the accuracy is flattered", count)
    recorded = finished.record["data"].items()
    if any(data.fingerprint(name) != own for name, own in recorded if name in data.names):
        log.warning("warning: the data is not what the run was trained on")
    load_weights(built.module, finished.weights)
    domains = built.domains
    method = built.module.method
    outputs = method.evaluate_samples(domains.test)._replace(y=domains.oracle)
    changed = recalibrate(
        built,
        calibration=calibration,
        label_shift_correction=label_shift_correction,
        trained=trained,
    )
    if changed is None:
        return metrics_per_domain(outputs, domains.task, calibrated=method.gives_probabilities)
    logits, done = outputs.logits.double(), {}
    for domain in torch.unique(outputs.domain).tolist():
        rows = outputs.domain == domain
        corrected, estimate = changed.apply(outputs.logits[rows])
        logits[rows] = corrected.to(logits.device)
        done[domains.task.domains[domain]] = changed.record(estimate)
    figures = metrics_per_domain(outputs._replace(logits=logits), domains.task)
    return {**figures, "label_shift": done, "classes": list(domains.task.classes)}


def count_trained_on(trained: Dataset, tested: Dataset) -> int:
    """How many test rows of one assignment are training rows of another.

    Rows trained on without labels count where the protocol promised that they would not be.
    """
    roles = trained.split_roles().train
    counted = [
        part
        for parts in roles.values()
        for part in parts
        if part.labelled or trained.protocol == "inductive"
    ]
    return count_shared(tested.split_roles().test, counted)


def main(config: Any) -> float | None:
    """Evaluates and prints; returns the accuracy, if labels are known."""
    config = to_plain(config)
    config = check_config(config, evaluate)
    metrics = evaluate(**config)
    for domain, done in metrics.get("label_shift", {}).items():
        print_shares(domain, done, metrics["classes"])
    if not metrics["rows"]:
        print(f"{config['run']}: target accuracy: {NO_LABELS}; da predict says what is predicted")
        return None
    count = f"{metrics['rows']} labelled target samples"
    table = Table(title=printable(f"{config['run']}: {config['pick']} weights on {count}"))
    figures = (
        *("accuracy", "balanced_accuracy", "macro_precision", "macro_f1"),
        "calibration_error",
    )
    table.add_column("target")
    for name in figures:
        table.add_column(name.replace("_", " "), justify="right")
    for domain, values in {"all": metrics, **metrics.get("domains", {})}.items():
        table.add_row(printable(domain), *(format_figure(values.get(name)) for name in figures))
    open_console().print(table)
    return float(metrics["accuracy"])
