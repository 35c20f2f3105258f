"""``confusion.png``: which classes of the target are taken for which, after the last step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image

from da_framework.callbacks.base import Callback, Evaluation, Table, run_title
from da_framework.core.text import printable
from da_framework.core.types import Index
from da_framework.datasets.base import Dataset, as_image
from da_framework.datasets.splits import sample_places
from da_framework.results.confusion_figure import draw_confusion
from da_framework.results.figure_process import draw_or_warn
from da_framework.results.folder import RunFolder

SIDE = 128
"""The longer side of a picture in a table, in pixels."""


class Confusion(Callback):
    """Draws the tested target's confusion matrix when training has ended, if it has labels.

    Services that watch the run are given it as a table, and with it the samples that are taken for
    another class, those first of which the model is surest.

    Args:
        folder: of the run.
        misclassified: how many samples are shown, at most.
        contents: whether with their pictures or cells, and not by their names alone.
    """

    def __init__(self, folder: str, misclassified: Index, contents: bool) -> None:
        self.path = RunFolder(Path(folder)).figure("confusion")
        self.misclassified = misclassified
        self.contents = contents
        self.last: Evaluation | None = None
        self.module: Any = None

    def on_evaluation(
        self, trainer: pl.Trainer, module: pl.LightningModule, evaluation: Evaluation
    ) -> None:
        self.last, self.module = evaluation, module

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.last is not None and len(self.last.oracle.y) and trainer.is_global_zero:
            oracle = self.last.oracle
            true, predicted = oracle.y.cpu().numpy(), oracle.logits.argmax(1).cpu().numpy()
            classes, title = class_names(self.last), run_title(module, self.last)
            draw_or_warn(draw_confusion, self.path, true, predicted, classes, title=title)

    def tables(self) -> Mapping[str, Table]:
        if self.last is None or not len(self.last.oracle.y):
            return {}
        wrong = self.misclassified_table(self.last, self.module.domains.dataset)
        shown = {"misclassified": wrong} if wrong.rows else {}
        return {"confusion_matrix": confusion_table(self.last)} | shown

    def misclassified_table(self, evaluation: Evaluation, dataset: Dataset) -> Table:
        """The samples that are taken for another class, the surest first."""
        oracle, names = evaluation.oracle, class_names(evaluation)
        calibrated = self.module.method.gives_probabilities
        confidence, predicted = oracle.logits.softmax(1).max(1)
        wrong = (predicted != oracle.y).nonzero().flatten()
        order = confidence[wrong].argsort(descending=True, stable=True)[: self.misclassified]
        places = sample_places(dataset.split_roles().test)
        rows = []
        for at in wrong[order].tolist():
            domain, position = places[int(oracle.row[at])]
            cells = sample_cells(dataset, domain, position) if self.contents else {}
            rows.append(
                {
                    "sample": printable(dataset.sample_name(domain, position)),
                    "domain": printable(domain),
                    "true": printable(names[int(oracle.y[at])]),
                    "predicted": printable(names[int(predicted[at])]),
                    "confidence": float(confidence[at]) if calibrated else None,
                }
                | cells
            )
        columns = list(dict.fromkeys(name for row in rows for name in row))
        return Table(columns, [[row.get(name) for name in columns] for row in rows])


def class_names(evaluation: Evaluation) -> tuple[str, ...]:
    """Names of all labels and predictions, with the unknown where there is one."""
    oracle = evaluation.oracle
    k = max(oracle.logits.shape[1], int(oracle.y.max()) + 1)
    return (*evaluation.task.classes, "unknown")[:k]


def confusion_table(evaluation: Evaluation) -> Table:
    """The confusion matrix, a row for each cell that is not 0."""
    oracle, names = evaluation.oracle, class_names(evaluation)
    pairs = torch.stack([oracle.y, oracle.logits.argmax(1)], dim=1)
    cells, counts = torch.unique(pairs, dim=0, return_counts=True)
    rows = [
        [printable(names[true]), printable(names[predicted]), count]
        for (true, predicted), count in zip(cells.tolist(), counts.tolist(), strict=True)
    ]
    return Table(["true", "predicted", "samples"], rows)


def sample_cells(dataset: Dataset, domain: str, row: int) -> dict[str, Any]:
    """What a sample is recognised by: its cells by column; or its picture, if it is one."""
    cells: dict[str, Any] = {
        printable(name): printable(cell)
        for name, cell in dataset.describe_sample(domain, row).items()
    }
    pixels = as_image(np.ascontiguousarray(dataset[domain].x[row]))
    if pixels is not None:
        image = Image.fromarray(pixels)
        image.thumbnail((SIDE, SIDE))
        cells["picture"] = np.asarray(image)
    return cells
