"""A run that was trained in memory, as the folder that ``da train`` leaves."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from da_framework.core.errors import InputError, listed
from da_framework.core.files import atomic_write
from da_framework.core.secrets import redact
from da_framework.results import record as records
from da_framework.results.cells import flatten
from da_framework.results.folder import RunFolder
from da_framework.training.build import Run
from da_framework.training.memory import peak_memory
from da_framework.training.train import make_record
from da_framework.training.warm_start import weights_fingerprint

COMMAND = "da_framework.fit(...)"
"""What stands in the record for a command: the data was in memory, and none repeats it."""


def save_run(run: Run, folder: Path) -> None:
    """Writes record and weights.

    Args:
        run: after it was fitted.
        folder: to write to; what another run has left in it is moved aside.

    Raises:
        InputError: nothing is trained yet, a key holds a secret, or another process writes to the
            folder.
    """
    module, config = run.module, run.config
    if "last" not in module.picks or not module.step:
        raise InputError("nothing is trained yet: da_framework.fit, or a Trainer's fit")
    # a config of Python's may have drawn one in from the environment
    if secret := [
        key for key, value in flatten(config).items() if redact(str(value)) != str(value)
    ]:
        raise InputError(
            f"{listed(secret)}: holds a secret, which would be written into the record: leave it "
            "to the environment"
        )
    data = run.dataset.fingerprints()
    key = records.run_key(config, data, start=weights_fingerprint(config))
    place = RunFolder(folder)
    method = config["method"]["_target_"].split(".")[-2]  # modules have the names of configs
    record = make_record(
        run,
        config,
        data=data,
        key=key,
        command=COMMAND,
        choices={"method": method, **run.choices},
        seconds={"training": module.seconds},
        peak_of="process",
    )
    record["peak_memory_mib"] = peak_memory()
    with place.lock():
        place.claim(key, again=True)
        write_weights(place.checkpoint("last"), module.method.state_dict())
        if run.chosen:
            write_weights(place.checkpoint("chosen"), run.chosen)
        place.write_record(record)


def write_weights(file: Path, weights: dict[str, Tensor]) -> None:
    """Writes the weights of a method as a checkpoint holds them."""
    state: dict[str, Any] = {f"method.{name}": value.cpu() for name, value in weights.items()}
    with atomic_write(file) as partial:
        torch.save({"state_dict": state}, partial)
