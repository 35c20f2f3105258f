"""``da predict``: what a finished run makes of new rows."""

import csv
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from da_framework.config.schema import check_config, instantiate, to_plain
from da_framework.core.batch import UNLABELLED, Samples, Task
from da_framework.core.errors import InputError
from da_framework.core.files import atomic_write
from da_framework.datasets.inference import unlabelled
from da_framework.methods.base import Method
from da_framework.training import warm_start as initial
from da_framework.training.build import build
from da_framework.training.restore import FinishedRun, find_run, load_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedModel:
    """A finished run's model, which needs nothing of the data it was trained on.

    Attributes:
        own: record and config.
        method: with the weights, in evaluation mode.
        inputs: what a row is.
        classes: names of its logits.
    """

    own: FinishedRun
    method: Method
    inputs: Mapping[str, Any]
    classes: tuple[str, ...]


def restore_model(run: str, *, pick: str) -> TrainedModel:
    """A model brought back by the record of its run alone.

    Raises:
        InputError: there is no such run, or its weights are damaged.
    """
    own = find_run(run, pick=pick, data_dir=None)
    record, config = own.record, own.config
    parts = {name: config[name] for name in ("method", "network")}
    check_config(parts, lambda method, network: None)
    if "inputs" in record:
        method, inputs = restore_method(record, config), record["inputs"]
    else:  # a record of before inputs stood in it
        built = build(config, initialise=False)
        method, inputs = built.module.method, built.inputs(built.domains.dataset)
    holder = nn.Module()
    holder.method = method
    load_weights(holder, own.weights)
    unknown = ["unknown"] if method.setting == "open" else []
    return TrainedModel(own, method.eval(), inputs, (*record["classes"], *unknown))


def restore_method(record: Mapping[str, Any], config: Mapping[str, Any]) -> Method:
    """The method of a record, without its weights."""
    inputs, (source, target) = record["inputs"], record["domains"].values()
    task = Task(
        classes=tuple(record["classes"]),
        domains=(*source, *target),
        rows={role: count for role, count in record["rows"].items() if role != "test"},
        shape=tuple(inputs["widest"]),
        sources=len(source),
        widths=tuple(inputs["widths"]),
    )
    if runs := [run for run in config.get("teachers", ()) if Path(run).is_dir()]:
        task = replace(task, teachers=initial.load_teachers(runs, task.shape, task.widths))
    make = instantiate(config["method"])
    network = instantiate(initial.without_pretrained(config["network"]))(
        task.shape, make.func.head_classes(len(task.classes)), task.widths
    )
    method: Method = make(network, task)
    return method


def predict(
    *,
    run: str,
    pick: Literal["last", "chosen"],
    out: str,
    probabilities: bool,
    dataset: dict[str, Any],
) -> dict[str, Any]:
    """Writes the class of every row and its probability, as rows of the run's last target.

    Args:
        run: folder of a finished run.
        pick: which of its weights.
        out: the CSV file to write.
        probabilities: whether to write those of all classes.
        dataset: keys of the run's data set to change, or another one's config.

    Returns:
        How many rows there are of each class, and what could not be read.

    Raises:
        InputError: there is no such run, or the rows are not what it takes.
    """
    model = restore_model(run, pick=pick)
    method, classes = model.method, model.classes
    reader = unlabelled(model.own.config["dataset"], dataset, model.inputs)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    method.to(device)
    counts: Counter[str] = Counter()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_write(Path(out)) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        heads = [f"probability of {name}" for name in classes] if probabilities else []
        writer.writerow([*reader.names, "class", "probability", *heads])
        for names, x in reader.blocks():
            found = method.evaluate_samples(
                as_target_samples(torch.as_tensor(x, device=device), model)
            ).logits
            shares = found.double().softmax(1).cpu()
            for name, row, best in zip(names, shares.tolist(), shares.argmax(1), strict=True):
                every = [f"{share:.6f}" for share in row] if probabilities else []
                writer.writerow([*name, classes[best], f"{row[best]:.6f}", *every])
                counts[classes[best]] += 1
        if not counts:
            raise InputError(f"dataset.root={dataset['root']}: no row can be read")
    return {"rows": counts.total(), "classes": dict(counts), "skipped": reader.broken}


def as_target_samples(x: torch.Tensor, model: TrainedModel) -> Samples:
    """Rows of the last target, with zeros behind where another domain's are longer."""
    if missing := model.inputs["widest"][0] - x.shape[1] if model.inputs["widths"] else 0:
        x = nn.functional.pad(x, (0, missing))
    domains = model.own.record["domains"]
    last = len(domains["source"]) + len(domains["target"]) - 1
    count = torch.arange(len(x), device=x.device)
    return Samples(x, torch.full_like(count, UNLABELLED), torch.full_like(count, last), count)


def main(config: Any) -> None:
    """Predicts and prints."""
    config = to_plain(config)
    if config["dataset"]["root"] == "???":
        raise InputError("dataset.root: must be given")
    # another data set's config is not built from, and so need not be whole
    check_config({**config, "dataset": {"root": config["dataset"]["root"]}}, predict)
    found = predict(**config)
    for words in found["skipped"]:
        log.warning("left out: %s", words)
    table = Table(title=f"{config['out']}: {found['rows']} rows")
    table.add_column("class", overflow="fold")
    table.add_column("rows", justify="right")
    for name, count in sorted(found["classes"].items()):
        table.add_row(name, str(count))
    Console(highlight=False).print(table)
