"""A Lightning callback that is also told of every evaluation."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytorch_lightning as pl

from da_framework.core.batch import Outputs, Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation saw and found.

    Attributes:
        step: steps of training done.
        task: classes and domains.
        validation: outputs of held-out ``source`` and of ``target``, whose labels are hidden.
        oracle: outputs of the tested target samples whose true labels are known, with these: for
            results alone.
        figures: its numbers, as they stand in the curve.
        warnings: sentences for a person.
    """

    step: int
    task: Task
    validation: Mapping[str, Outputs]
    oracle: Outputs
    figures: Mapping[str, Any]
    warnings: tuple[str, ...] = field(default=())

    def domain_names(self) -> dict[str, str]:
        """The domains of each side that was seen: ``{"source": "mnist", "target": "usps"}``."""
        return {
            side: "+".join(self.task.domains[n] for n in sorted(set(outputs.domain.tolist())))
            for side, outputs in self.validation.items()
        }


class Table(NamedTuple):
    """What W&B and MLflow show as a table.

    Attributes:
        columns: their names.
        rows: a cell for each column; an array of bytes is a picture.
    """

    columns: list[str]
    rows: list[list[Any]]


class Callback(pl.Callback):
    """Told of every evaluation, on every process; writes on the first alone."""

    def tables(self) -> Mapping[str, Table]:
        """What W&B and MLflow show of it when training has ended, by name; asked on the first."""
        return {}

    def on_evaluation(
        self, trainer: pl.Trainer, module: pl.LightningModule, evaluation: Evaluation
    ) -> None:
        """After the evaluation of a step."""


def add_verdict(trainer: pl.Trainer, module: Any, kind: str, sentence: str) -> None:
    """Keeps what is ill in the module's verdicts, once of each kind, and warns of it."""
    if kind not in module.verdicts:
        module.verdicts[kind] = {"step": module.step, "words": sentence}
        if trainer.is_global_zero:
            log.warning("warning at step %d: %s", module.step, sentence)


def run_title(module: Any, evaluation: Evaluation) -> str:
    """What a figure is of: method, domains and seed."""
    names = evaluation.domain_names()
    sides = " → ".join(names[side] for side in ("source", "target") if side in names)
    return f"{type(module.method).__name__}: {sides}, seed {module.seed}"
