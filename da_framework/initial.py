"""Weights to start from: those of a finished run."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from da_framework import results
from da_framework.errors import InputError, listed

if TYPE_CHECKING:
    from torch import nn


def weights(start: str) -> Path:
    """The checkpoint that ``init_from`` names.

    Args:
        start: folder of a finished run, or a checkpoint of one.

    Raises:
        InputError: there is none.
    """
    path = Path(start)
    file = path / "checkpoints" / "last.ckpt" if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"init_from={start}: {file} is not there; give the folder of a finished run, "
            "as da train wrote it"
        )
    return file


def fingerprint(start: str | None) -> str | None:
    """A hash of the checkpoint that ``init_from`` names; a run is another if it changes."""
    if start is None:
        return None
    with weights(start).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def load(network: "nn.Module", start: str, classes: tuple[str, ...]) -> None:
    """Puts a finished run's weights into a network of the same kind.

    Args:
        network: encoder and head.
        start: folder of a finished run, or a checkpoint of one.
        classes: that are to be learnt.

    Raises:
        InputError: the run had other classes or another network, or its checkpoint is damaged.
    """
    # here and not above: a finished run is recognised without it
    import torch

    file = weights(start)
    record = results.read(Path(start)) if Path(start).is_dir() else None
    if record and tuple(record["classes"]) != classes:
        raise InputError(
            f"init_from={start}: the run learnt the classes {listed(record['classes'])}, "
            f"this one has {listed(classes)}"
        )
    prefix = "method.network."
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
        network.load_state_dict(
            {name.removeprefix(prefix): own for name, own in state.items() if prefix in name}
        )
    except Exception as error:  # what a damaged file makes of itself has no type
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"init_from={start}: {file} is damaged, or of another network: {reason}"
        ) from None
