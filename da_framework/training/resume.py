"""What a run that was stopped continues from."""

from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

from da_framework.core.errors import InputError, one_line
from da_framework.results.folder import RunFolder
from da_framework.training.checkpoint_check import check_checkpoint

if TYPE_CHECKING:
    from da_framework.training.module import Adaptation


def latest_valid_checkpoint(
    folder: RunFolder, module: "Adaptation"
) -> tuple[Path | None, list[str]]:
    """The latest checkpoint that can be read, if there is any; and what is wrong with later ones.

    Args:
        folder: of the run.
        module: that goes on.

    Raises:
        InputError: all are damaged.
    """
    import torch

    damaged: list[str] = []
    for file in folder.checkpoints_latest_first():
        try:
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
            with ZipFile(file) as archive:  # torch compares no checksum
                if changed := archive.testzip():
                    raise ValueError(f"{changed} has changed since")
            check_checkpoint(checkpoint, module)
            return file, damaged
        except Exception as error:  # what a damaged file makes of itself has no type
            reason = one_line(error, most=200)
            damaged.append(f"{file} is damaged ({type(error).__name__}: {reason})")
    if damaged:
        raise InputError(
            f"{'; '.join(damaged)}; remove {'it' if len(damaged) == 1 else 'both'} and the same "
            "command begins anew"
        )
    return None, []
