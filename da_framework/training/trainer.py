"""Lightning's trainer, with everything off that ``Adaptation`` does itself."""

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from da_framework.config.schema import instantiate
from da_framework.core.errors import InputError, one_line
from da_framework.methods.base import Method
from da_framework.training.module import PackedSteps

if TYPE_CHECKING:
    import pytorch_lightning as pl

PROCESSES = 16
"""On a CPU, so many may train together even if it has fewer cores."""


def build_trainer(
    config: Mapping[str, Any], *, callbacks: "Sequence[pl.Callback]", loggers: list[Any]
) -> Any:
    """The trainer of a run.

    How precisely a GPU multiplies holds for the whole process: it is set for every trainer.

    Args:
        config: resolved, as of ``da train``.
        callbacks: that watch the run.
        loggers: that its figures go to.

    Raises:
        InputError: it cannot have the accelerator, devices or precision asked for.
    """
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    silence_lightning()
    check_devices(config)
    make_trainer = instantiate(config["trainer"])
    try:
        trainer = make_trainer(
            strategy=choose_strategy(config),
            max_epochs=-1,
            logger=loggers,
            callbacks=[PackedSteps(), *callbacks],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=0,  # ``Adaptation`` evaluates between steps
        )
    except (MisconfigurationException, ImportError, ValueError, RuntimeError) as error:
        raise InputError(f"trainer: {one_line(error)}") from error
    check_precision(config, trainer)
    torch.set_float32_matmul_precision("high" if config.get("tf32") == "all" else "highest")
    torch.backends.cudnn.allow_tf32 = config.get("tf32") != "none"
    return trainer


def check_devices(config: Mapping[str, Any]) -> None:
    """Refuses numbers of devices that cannot be, before a process is started for each.

    Raises:
        InputError: there cannot be so many.
    """
    devices, accelerator = config["trainer"]["devices"], config["trainer"]["accelerator"]
    if not isinstance(devices, int):
        return
    gpu = accelerator in ("gpu", "cuda", "mps") or (
        accelerator == "auto" and torch.accelerator.is_available()
    )
    if devices == -1 and gpu:
        return  # all there are
    if devices < 1:
        every = "; -1 is all of them" if gpu else ""
        raise InputError(f"trainer.devices={devices}: at least one device is needed{every}")
    most = max(PROCESSES, os.cpu_count() or 1)
    if not gpu and devices > most:
        raise InputError(
            f"trainer.devices={devices}: each is a process on this CPU, which takes at most {most}"
        )


def choose_strategy(config: Mapping[str, Any]) -> str:
    """How processes train together: a move that leaves out parts needs its unused weights found."""
    asked: str = config["trainer"]["strategy"]
    method: type[Method] = instantiate(config["method"]).func
    if config["trainer"]["devices"] == 1 or method.objectives is Method.objectives:
        return asked
    return f"{'ddp' if asked == 'auto' else asked}_find_unused_parameters_true"


def check_precision(config: Mapping[str, Any], trainer: Any) -> None:
    """Refuses a precision that the accelerator or the number of devices does not allow.

    Raises:
        InputError: Lightning would take another instead, without a word.
    """
    from pytorch_lightning.accelerators import CUDAAccelerator

    if not isinstance(trainer.accelerator, CUDAAccelerator):
        if (precision := str(config["trainer"]["precision"])).startswith("16"):
            raise InputError(f"trainer.precision={precision} needs a GPU; bf16-mixed does without")
        if config.get("tf32") == "all":
            raise InputError("tf32=all needs a GPU; tf32=convolutions and tf32=none do without")
    if trainer.world_size > 1 and trainer.precision == "16-mixed":
        raise InputError("trainer.precision=16-mixed needs one device; bf16-mixed takes several")


def silence_lightning() -> None:
    """Turns off Lightning's talk of things that ``Adaptation`` does itself."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\.")
