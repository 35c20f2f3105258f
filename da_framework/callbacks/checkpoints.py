"""What a killed run goes on from, and the weights its results are about."""

import io
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from da_framework.callbacks.base import Callback
from da_framework.core.files import atomic_write
from da_framework.results.folder import RunFolder


class Checkpoints(Callback):
    """Keeps ``last.ckpt`` and, for the evaluation the validator likes best, ``chosen.ckpt``.

    While a run lasts, ``previous.ckpt`` is the last but one.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str) -> None:
        self.folder = RunFolder(Path(folder))
        self.run_key: str | None = None

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        trainer.strategy.checkpoint_io = Files(self.folder)
        self.run_key = self.folder.read_key()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # whose they are is in themselves too: the file beside them may be damaged
        checkpoint["run_key"] = self.run_key

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        chosen = module.picks.get("chosen", {}).get("step")
        if module.step and chosen == module.step:
            trainer.save_checkpoint(self.folder.checkpoint("chosen"))
        if module.step and module.checkpointing:
            trainer.save_checkpoint(self.folder.checkpoint("last"))


class Files(TorchCheckpointIO):
    """Checkpoints, written where they will be: a kill, a power cut or a full disk leaves one whole.

    Lightning's own way goes by the system's folder for temporary files, which may be another disk.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self.folder = folder

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        file, buffer = Path(path), io.BytesIO()
        torch.save(checkpoint, buffer)
        is_last = file.name == self.folder.checkpoint("last").name
        former = self.folder.checkpoint("previous") if is_last else None
        with atomic_write(file, former=former) as partial:
            partial.write_bytes(buffer.getbuffer())
