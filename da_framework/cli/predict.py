"""``da predict``: what a finished run makes of new rows."""

import csv
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from rich.table import Table

from da_framework.config.schema import check_config, to_plain
from da_framework.core.errors import InputError
from da_framework.core.files import atomic_write
from da_framework.core.terminal import open_console
from da_framework.core.text import csv_row, printable
from da_framework.datasets.inference import open_new_samples
from da_framework.training.prediction import as_target_samples
from da_framework.training.restore import restore_model

log = logging.getLogger(__name__)

SHOWN = 100
"""Classes that are printed, those of the most rows; the file has all."""


def predict(
    *,
    run: str,
    pick: Literal["last", "chosen"],
    out: str,
    probabilities: bool,
    dataset: dict[str, Any],
    trust: Sequence[Any] = (),
) -> dict[str, Any]:
    """Writes the class of every row and its probability, as rows of the run's last target.

    Args:
        run: folder of a finished run.
        pick: which of its weights.
        out: the CSV file to write.
        probabilities: whether to write those of all classes.
        dataset: keys of the run's data set to change, or another one's config.
        trust: what the record may name beside what installed configs name: see ``find_run``.

    Returns:
        How many rows there are of each class, and what could not be read.

    Raises:
        InputError: there is no such run, or the rows are not what it takes.
    """
    model = restore_model(run, pick=pick, trust=trust)
    method, classes = model.method, model.classes
    reader = open_new_samples(model.run.config["dataset"], dataset, model.inputs)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    method.to(device)
    counts: Counter[str] = Counter()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_write(Path(out)) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        heads = [f"probability of {name}" for name in classes] if probabilities else []
        writer.writerow(csv_row([*reader.names, "class", "probability", *heads]))
        for names, x in reader.blocks():
            logits = method.evaluate_samples(
                as_target_samples(torch.as_tensor(x, device=device), model)
            ).logits
            shares = logits.double().softmax(1).cpu()
            best, most = shares.argmax(1).tolist(), shares.amax(1).tolist()
            # a sample at a time: of many classes, the numbers of all would fill the memory
            rows = (row.tolist() if probabilities else [] for row in shares)
            for name, label, share, row in zip(names, best, most, rows, strict=True):
                figures = (f"{figure:.6f}" for figure in (share, *row))
                writer.writerow(csv_row([*name, classes[label], *figures]))
                counts[classes[label]] += 1
        if not counts:
            raise InputError(f"dataset.root={dataset['root']}: no row can be read")
    return {"rows": counts.total(), "classes": dict(counts), "skipped": reader.broken}


def main(config: Any) -> None:
    """Predicts and prints."""
    config = to_plain(config)
    if config["dataset"]["root"] == "???":
        raise InputError("dataset.root: must be given")
    # another data set's config is not built from, and so need not be whole
    known = {**config, "dataset": {"root": config["dataset"]["root"]}}
    config = {**check_config(known, predict), "dataset": config["dataset"]}
    summary = predict(**config)
    for reason in summary["skipped"]:
        log.warning("left out: %s", reason)
    table = Table(title=printable(f"{config['out']}: {summary['rows']} rows"))
    table.add_column("class", overflow="fold")
    table.add_column("rows", justify="right")
    counts = Counter[str](summary["classes"]).most_common()
    for name, count in sorted(counts[:SHOWN]):
        table.add_row(printable(name), str(count))
    if rest := [count for _, count in counts[SHOWN:]]:
        table.add_row(f"{len(rest)} more classes", str(sum(rest)))
    open_console().print(table)
