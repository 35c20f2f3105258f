"""What a callback does may fail: that is said once, and the run goes on."""

import logging
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from da_framework.callbacks.base import Callback
from da_framework.core.errors import DivergedError, InputError, PrunedError, one_line

log = logging.getLogger(__name__)

ENDING = (InputError, DivergedError, PrunedError)
"""Errors by which a callback ends the run, and means to."""


def guard_callback(callback: pl.Callback) -> pl.Callback:
    """Lets a run go on where this callback raises: the first error is said in a line.

    Errors by which it means to end the run still do. So does any error where several processes
    train together: one of them would go on without the others, which wait for it.

    Args:
        callback: whose hooks are replaced by guarded ones.
    """
    failed: list[str] = []

    def guard(name: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(hook)
        def guarded(trainer: Any, *arguments: Any, **keys: Any) -> Any:
            try:
                return hook(trainer, *arguments, **keys)
            except ENDING:
                raise
            except Exception as error:
                if trainer.world_size > 1:
                    raise
                if not failed:
                    log.warning("warning: %s; training goes on", describe(callback, name, error))
                failed.append(name)

        return guarded

    for name in dir(Callback):
        is_hook = name.startswith("on_") or name in ("setup", "teardown")
        if is_hook and getattr(type(callback), name, None) not in (None, getattr(Callback, name)):
            setattr(callback, name, guard(name, getattr(callback, name)))
    return callback


def describe(callback: pl.Callback, hook: str, error: Exception) -> str:
    """What a callback has raised, and where, in a line."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"the callback {type(callback).__name__} failed in {hook}: {type(error).__name__}: "
        f"{one_line(error, most=300)} ({Path(place.filename).name}, line {place.lineno})"
    )
