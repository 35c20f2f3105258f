"""The folder of a run: the one place that knows which files it holds, and what they are called."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from da_framework.config.moved import Parts, moved_record
from da_framework.core.damage import explain_damage, is_there, read_json
from da_framework.core.files import DAMAGED, LOCK, run_lock, sync_names, write_text

if TYPE_CHECKING:
    from da_framework.results.record_schema import RunRecord

RESULT = "result.json"
FIGURES = ("curves", "confusion", "tsne")
"""The figures that callbacks draw of a run."""
ASIDE = "before-"
"""How the folders begin that hold what former runs left; a number follows."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run; its files have their paths here, whether they are there or not.

    Attributes:
        path: of the folder.
    """

    path: Path

    @property
    def result(self) -> Path:
        """The record, written last: where it is, the run is finished."""
        return self.path / RESULT

    @property
    def key_file(self) -> Path:
        """The key of the run that this folder belongs to."""
        return self.path / "key.txt"

    @property
    def diverged(self) -> Path:
        """What a run that diverged leaves: at which step, and what was no longer finite."""
        return self.path / "diverged.txt"

    @property
    def metrics(self) -> Path:
        """The history as a table."""
        return self.path / "metrics.csv"

    @property
    def card(self) -> Path:
        """The model card."""
        return self.path / "MODEL.md"

    @property
    def verified(self) -> Path:
        """What an audit has found of the run."""
        return self.path / "verified.json"

    @property
    def wandb_id(self) -> Path:
        """The name of the run at W&B."""
        return self.path / "wandb.id"

    @property
    def mlflow_id(self) -> Path:
        """The id of the run in MLflow."""
        return self.path / "mlflow.id"

    @property
    def log(self) -> Path:
        """What the run printed, where it is a job of a sweep."""
        return self.path / "da.log"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def features_before(self) -> Path:
        """Features of the untrained model, for the figure of both."""
        return self.checkpoints / "features_before.npz"

    def checkpoint(self, name: str) -> Path:
        """A checkpoint: ``last``, ``previous`` while the run lasts, or ``chosen``."""
        return self.checkpoints / f"{name}.ckpt"

    def figure(self, name: str) -> Path:
        """A figure: ``curves``, ``confusion`` or ``tsne``."""
        return self.path / f"{name}.png"

    def drawn_figures(self) -> dict[str, Path]:
        """The figures that are there, by name."""
        files = {name: self.figure(name) for name in FIGURES}
        return {name: file for name, file in files.items() if file.is_file()}

    def checkpoints_latest_first(self) -> Iterator[Path]:
        """The checkpoints that a run may continue from."""
        for name in ("last", "previous"):
            if (file := self.checkpoint(name)).is_file():
                yield file

    def read_record(self, parts: Parts | None = None) -> "RunRecord | None":
        """The record in this folder; none if there is none.

        Args:
            parts: of records that were read before.

        Raises:
            InputError: the file is damaged, or not a record of ours.
        """
        file = self.result
        if not is_there(file):
            return None
        record: Any = read_json(file, "record of a run")
        with explain_damage(file, "record of a run"):
            if not isinstance(record, dict) or not {"key", "config", "target"} <= record.keys():
                raise ValueError("keys are missing")
            moved: Any = moved_record(record, parts)
        typed: RunRecord = moved
        return typed

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Writes the record, whole or not at all."""
        write_text(self.result, json.dumps(record, indent=1, allow_nan=False) + "\n")

    def read_key(self) -> str | None:
        """The key of the run that this folder belongs to, as it stands there; none if none does."""
        if not self.key_file.is_file():
            return None
        return self.key_file.read_bytes().decode(errors="replace").strip()

    def write_key(self, run_key: str) -> None:
        """Makes this the folder of a run."""
        write_text(self.key_file, run_key + "\n")

    def remove_leftovers(self) -> None:
        """Removes what a finished run does not need: the last checkpoint but one, damaged ones."""
        for file in (self.checkpoint("previous"), *self.checkpoints.glob(f"*{DAMAGED}")):
            file.unlink(missing_ok=True)

    def claim(self, run_key: str, *, again: bool) -> Path | None:
        """Makes this the folder of a run; what another run left in it is moved aside.

        Returns:
            Where to, or none if nothing was in the way.
        """
        mark = self.key_file
        self.path.mkdir(parents=True, exist_ok=True)
        ours = self.read_key() == run_key
        begun = any(file.exists() for file in (mark, self.result, *self.checkpoints_latest_first()))
        aside: Path | None = None
        # again after a kill goes on: what is unfinished is not what is to be run once more
        if begun and (not ours or (again and self.result.is_file())):
            aside = next(p for n in count(1) if not (p := self.path / f"{ASIDE}{n}").exists())
            aside.mkdir()
            sync_names(aside)
            # the mark goes last: without it, what a kill left here would be taken for ours
            for entry in sorted(self.path.iterdir(), key=lambda entry: entry == mark):
                stays = entry.name.startswith((ASIDE, ".hydra", LOCK)) or entry.suffix == ".log"
                if not stays:
                    shutil.move(entry, aside / entry.name)
            for folder in (aside, self.path):
                sync_names(folder)
        self.checkpoints.mkdir(exist_ok=True)
        self.write_key(run_key)
        return aside

    def lock(self, *, key: str = "hydra.run.dir") -> AbstractContextManager[None]:
        """Holds the folder for this process.

        Args:
            key: that would name another folder.

        Raises:
            InputError: another process holds it.
        """
        return run_lock(self.path, key=key)


def find_finished_runs(path: Path) -> list[RunFolder]:
    """The folders of the finished runs in and below a folder, without what was moved aside."""
    records = []
    for folder, below, files in os.walk(path):
        if RESULT in files or RESULT in below:
            records.append(Path(folder) / RESULT)
        below[:] = [name for name in below if not name.startswith(ASIDE)]
    return [RunFolder(file.parent) for file in sorted(records) if file.exists()]
