"""What a run that was stopped continues from: the best that is whole, whatever is damaged."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from da_framework.core.errors import InputError, one_line
from da_framework.core.files import atomic_write, set_aside
from da_framework.results.folder import RunFolder
from da_framework.training.checkpoint_check import check_checkpoint

if TYPE_CHECKING:
    from da_framework.training.module import Adaptation

log = logging.getLogger(__name__)


class DamagedFileError(ValueError):
    """A file is not as it was written: it is cut, or has changed since."""


def find_checkpoint(
    folder: RunFolder, *, first: bool, module: "Adaptation | None" = None
) -> tuple[Path | None, list[str]]:
    """The latest checkpoint that can be read, if there is any; and what is wrong with others.

    What is damaged is set aside, so that it never takes the place of what is whole. Where all is
    damaged, the run begins anew: whatever repeats a command at night waits for nobody, and a run
    that is begun anew ends the same to the bit.

    Args:
        folder: of the run.
        first: whether this process is the one that writes.
        module: that goes on, which the checkpoint must fit.

    Raises:
        InputError: there are checkpoints, none can be read, and not all are damaged.
    """
    damaged: dict[Path, str] = {}
    foreign: dict[Path, str] = {}
    for file in folder.checkpoints_latest_first():
        try:
            checkpoint = read_checkpoint(file)
            state = checkpoint["adaptation"]
            if module is not None:
                check_checkpoint(checkpoint, module)
        except DamagedFileError as error:
            damaged[file] = f"{file} is damaged ({error})"
        except (OSError, MemoryError):
            raise
        except Exception as error:  # what another's file makes of itself has no type
            reason = one_line(error, most=200)
            foreign[file] = f"{file} is damaged or another's ({type(error).__name__}: {reason})"
        else:
            notes = set_files_aside({**damaged, **foreign}) if first else []
            notes = [f"{note}; the one before it is whole" for note in notes]
            return file, notes + (mend_chosen(folder, file, state) if first else [])
    if foreign:
        reasons = "; ".join([*damaged.values(), *foreign.values()])
        raise InputError(f"{reasons}; move it away, and the same command begins anew")
    notes = set_files_aside(damaged) if first else []
    return None, [*notes, "no checkpoint is whole: the run begins anew"] if notes else []


def mend_key(folder: RunFolder, run_key: str) -> None:
    """Writes the key of a folder anew if it is damaged, and a checkpoint is this run's."""
    if folder.read_key() == run_key:
        return
    for file in folder.checkpoints_latest_first():
        try:
            theirs = read_checkpoint(file).get("run_key")
        except Exception:  # said where the run continues; what such a file raises has no type
            continue
        if theirs == run_key:
            folder.write_key(run_key)
            log.warning("warning: %s was damaged: %s is of this run", folder.key_file, file)
        return


def mend_chosen(folder: RunFolder, latest: Path, state: Mapping[str, Any]) -> list[str]:
    """Sees to it that the chosen weights are whole, or says that they are not.

    Args:
        folder: of the run.
        latest: the checkpoint that it continues from.
        state: that it holds of the run.
    """
    step, file = state["picks"].get("chosen", {}).get("step"), folder.checkpoint("chosen")
    if step is None:
        return []
    note = f"{file} is missing"
    if file.is_file():
        try:
            check_archive(file)
        except DamagedFileError as error:
            (note,) = set_files_aside({file: f"{file} is damaged ({error})"})
        else:
            return []
    if step == state["step"]:
        with atomic_write(file) as partial:
            shutil.copyfile(latest, partial)
        return [f"{note}; {latest} has the same weights"]
    return [
        f"{note}; unless a later evaluation is better, the weights of step {step} can only be had "
        "by the same command in another folder: hydra.run.dir=..."
    ]


def set_files_aside(damaged: Mapping[Path, str]) -> list[str]:
    """Gives damaged files other names; returns what is wrong with each, and its new name."""
    return [f"{reason}, and now called {set_aside(file).name}" for file, reason in damaged.items()]


def read_checkpoint(file: Path) -> dict[str, Any]:
    """What a checkpoint holds.

    Raises:
        DamagedFileError: it is not as it was written.
    """
    import torch

    check_archive(file)
    checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return checkpoint


def check_archive(file: Path) -> None:
    """Compares the checksums of a checkpoint, which torch does not.

    Raises:
        DamagedFileError: they are not those of its content.
    """
    try:
        with ZipFile(file) as archive:
            changed = archive.testzip()
    except (OSError, MemoryError):
        raise
    except Exception as error:  # what a damaged archive makes of itself has no type
        raise DamagedFileError(one_line(error, most=200)) from None
    if changed:
        raise DamagedFileError(f"{changed} has changed since")
