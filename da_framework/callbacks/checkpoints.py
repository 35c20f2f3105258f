"""What a killed run goes on from, and the weights its results are about."""

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from da_framework.callbacks.base import Callback


class Checkpoints(Callback):
    """Keeps ``last.ckpt`` and, for the evaluation the validator likes best, ``chosen.ckpt``.

    Each is written under another name first: a kill leaves the one before whole.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder) / "checkpoints"

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        chosen = module.picks.get("chosen", {}).get("step")
        if module.step and chosen == module.step:
            self.save(trainer, "chosen.ckpt")
        if module.step and module.checkpointing:
            self.save(trainer, "last.ckpt")

    def save(self, trainer: pl.Trainer, name: str) -> None:
        """The whole state, under this name."""
        partial = self.folder / f".{name}.partial"
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            os.replace(partial, self.folder / name)
