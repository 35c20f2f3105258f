"""``da predict``: what a finished run makes of new rows."""

import csv
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from rich.table import Table
from torch import Tensor

from da_framework.cli.shares import print_shares
from da_framework.config.schema import check_config, to_plain
from da_framework.core.errors import InputError
from da_framework.core.files import atomic_write, write_text
from da_framework.core.terminal import open_console
from da_framework.core.text import csv_row, printable
from da_framework.core.types import ConfigNode
from da_framework.datasets.inference import NewSamples, open_new_samples
from da_framework.training.label_shift import Recalibration, recalibrate
from da_framework.training.prediction import Model, as_target_samples
from da_framework.training.restore import find_run, load_weights, rebuild, restore_model

log = logging.getLogger(__name__)

Block = tuple[list[tuple[str, ...]], Tensor]
"""Names of some samples, and their logits."""
SHOWN = 100
"""Classes that are printed, those of the most rows; the file has all."""


def predict(
    *,
    run: str,
    pick: Literal["last", "chosen"],
    out: str,
    probabilities: bool,
    dataset: dict[str, Any],
    data_dir: str | None = None,
    calibration: ConfigNode | None = None,
    label_shift_correction: ConfigNode | None = None,
    trust: Sequence[Any] = (),
) -> dict[str, Any]:
    """Writes the class of every row and its probability, as rows of the run's last target.

    With a calibration or a correction of label shift, what was done is written beside it, with the
    class shares of the rows (``NAME.shares.json``).

    Args:
        run: folder of a finished run.
        pick: which of its weights.
        out: the CSV file to write.
        probabilities: whether to write those of all classes.
        dataset: keys of the run's data set to change, or another one's config.
        data_dir: where the run's data is, of which a calibration or correction needs the source;
            ``None``: where every command looks for data.
        calibration: fitted to the source that the run held out; ``None``: logits as they are.
        label_shift_correction: by which probabilities are corrected for the class shares that all
            rows together have by estimate; ``None``: not at all.
        trust: what the record may name beside what installed configs name: see ``find_run``.

    Returns:
        How many rows there are of each class, and what could not be read; what was done for class
        shares, where anything was.

    Raises:
        InputError: there is no such run, the rows are not what it takes, or there is nothing to
            calibrate or correct by.
    """
    model = restore_model(run, pick=pick, trust=trust)
    method, classes = model.method, model.classes
    reader = open_new_samples(model.run.config["dataset"], dataset, model.inputs)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    method.to(device)
    blocks = predict_blocks(reader, model, device)
    done = None
    if calibration or label_shift_correction:
        changed = held_out_by(
            run,
            pick=pick,
            data_dir=data_dir,
            trust=trust,
            calibration=calibration,
            label_shift_correction=label_shift_correction,
        )
        blocks, done = correct_blocks(blocks, changed)
    counts: Counter[str] = Counter()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_write(Path(out)) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        heads = [f"probability of {name}" for name in classes] if probabilities else []
        writer.writerow(csv_row([*reader.names, "class", "probability", *heads]))
        for names, logits in blocks:
            shares = logits.softmax(1)
            best, most = shares.argmax(1).tolist(), shares.amax(1).tolist()
            # a sample at a time: of many classes, the numbers of all would fill the memory
            rows = (row.tolist() if probabilities else [] for row in shares)
            for name, label, share, row in zip(names, best, most, rows, strict=True):
                figures = (f"{figure:.6f}" for figure in (share, *row))
                writer.writerow(csv_row([*name, classes[label], *figures]))
                counts[classes[label]] += 1
        if not counts:
            raise InputError(f"dataset.root={dataset['root']}: no row can be read")
        if done is not None:
            done = {"classes": list(classes), **done}
            written = json.dumps(done, indent=1, ensure_ascii=False)
            write_text(Path(out).with_suffix(".shares.json"), written + "\n")
    summary = {"rows": counts.total(), "classes": dict(counts), "skipped": reader.broken}
    return summary if done is None else {**summary, "label_shift": done}


def predict_blocks(reader: NewSamples, model: Model, device: torch.device) -> Iterator[Block]:
    """Names and logits of samples, some at a time."""
    for names, x in reader.blocks():
        samples = as_target_samples(torch.as_tensor(x, device=device), model)
        yield names, model.method.evaluate_samples(samples).logits.double().cpu()


def held_out_by(
    run: str, *, pick: str, data_dir: str | None, trust: Sequence[Any], **keys: Any
) -> Recalibration:
    """How a run's probabilities are changed, by the source that it held out.

    Raises:
        InputError: its data is not there, or there is nothing to calibrate or correct by.
    """
    finished = find_run(run, pick=pick, data_dir=data_dir, trust=trust)
    built = rebuild(finished)
    load_weights(built.module, finished.weights)
    changed = recalibrate(built, **keys)
    assert changed is not None  # one of the two is asked for
    return changed


def correct_blocks(
    blocks: Iterator[Block], changed: Recalibration
) -> tuple[Iterator[Block], dict[str, Any]]:
    """The samples with changed logits, which takes all of them at once; and what was done."""
    names, parts = [], []
    for some, logits in blocks:
        names += some
        parts.append(logits)
    if not parts:
        return iter(()), changed.record(None)
    corrected, estimate = changed.apply(torch.cat(parts))
    return iter([(names, corrected)]), changed.record(estimate)


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
    if done := summary.get("label_shift"):
        print_shares(config["out"], done, done["classes"])
