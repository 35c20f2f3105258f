"""What a run that was stopped continues from."""

from pathlib import Path
from zipfile import ZipFile

from da_framework.core.errors import InputError, one_line
from da_framework.results.folder import RunFolder


def latest_valid_checkpoint(folder: RunFolder) -> tuple[Path | None, list[str]]:
    """The latest checkpoint that can be read, if there is any; and what is wrong with later ones.

    Raises:
        InputError: all are damaged.
    """
    import torch

    damaged: list[str] = []
    for file in folder.checkpoints_latest_first():
        try:
            torch.load(file, map_location="cpu", weights_only=True)["adaptation"]
            with ZipFile(file) as archive:  # torch compares no checksum
                if changed := archive.testzip():
                    raise ValueError(f"{changed} has changed since")
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
