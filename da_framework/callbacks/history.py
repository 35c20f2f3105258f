"""``metrics.csv``: the figures of a run as a table, renewed at every evaluation."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from da_framework.callbacks.base import Callback, Evaluation
from da_framework.core.files import write_text
from da_framework.core.text import csv_row
from da_framework.results.folder import RunFolder


class History(Callback):
    """Writes the history: a row a reading, a column a figure.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str) -> None:
        self.path = RunFolder(Path(folder)).metrics

    def on_evaluation(self, trainer: pl.Trainer, module: Any, evaluation: Evaluation) -> None:
        if trainer.is_global_zero:
            write_text(self.path, render_csv(module.history))


def render_csv(history: Sequence[Mapping[str, Any]]) -> str:
    """The history with one header for all rows."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(csv_row(columns))
    writer.writerows(csv_row(row.get(name, "") for name in columns) for row in history)
    return stream.getvalue()
