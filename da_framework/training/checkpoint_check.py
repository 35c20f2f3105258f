"""Whether a run can go on from a checkpoint: found out before Lightning is in the middle of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from da_framework.core.damage import explain_damage
from da_framework.core.errors import DivergedError, InputError, PrunedError
from da_framework.core.types import Finite, Index, NonNegative
from da_framework.networks.weights import name_first, weight_differences
from da_framework.results.record_schema import EvaluationFigures, Pick, Verdict

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from da_framework.training.module import Adaptation

CHECKPOINT = "checkpoint of this run"
MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")
"""What optimizers keep in the shape of each parameter."""


class Row(TypedDict):
    """A row of the history, of which the step alone is always there."""

    step: Index


class State(TypedDict):
    """What ``Adaptation`` keeps in a checkpoint."""

    step: Index
    history: list[Row]
    picks: dict[Pick, EvaluationFigures]
    verdicts: dict[str, Verdict]
    terms: list[tuple[Index, str, Finite]]
    seconds: NonNegative


class Checkpoint(TypedDict):
    """A checkpoint, as far as it is read here; Lightning's part is its own."""

    state_dict: dict[str, Any]
    optimizer_states: list[dict[str, Any]]
    loops: dict[str, Any]
    adaptation: State


def check_checkpoint(checkpoint: Mapping[str, Any], module: "Adaptation") -> None:
    """Refuses what a run cannot go on from.

    Raises:
        ValueError: parts are missing, are of another model, or cannot be right.
    """
    TypeAdapter(Checkpoint).validate_python(checkpoint, strict=True)
    if (step := checkpoint["adaptation"]["step"]) > module.steps:
        raise ValueError(f"it is of step {step} of {module.steps}")
    expected, given = module.state_dict(), checkpoint["state_dict"]
    if module.method.closed_form:  # what is fitted is as large as the data
        given = {name: weight for name, weight in given.items() if name in expected}
    if differing := weight_differences(given, expected):
        raise ValueError(f"its weights are of another model: {name_first(differing)}")
    optimizers = module.configure_optimizers()
    for optimizer, state in zip(optimizers, checkpoint["optimizer_states"], strict=True):
        check_optimizer(state, optimizer)


def check_optimizer(state: Mapping[str, Any], optimizer: "Optimizer") -> None:
    """Refuses the state of another optimizer.

    Raises:
        ValueError: groups, their numbers or the shapes of moments differ.
    """
    for kept, group in zip(state["param_groups"], optimizer.param_groups, strict=True):
        for key in group.keys() - {"params", "lr"}:
            expected, given = group[key], kept.get(key, group[key])
            if isinstance(expected, float | tuple) and given != expected:
                raise ValueError(f"its optimizer has another {key}: {given}")
        if not isinstance(kept["lr"], float | int):
            raise ValueError(f"its optimizer has the rate {kept['lr']!r}")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if sum(len(kept["params"]) for kept in state["param_groups"]) != len(parameters):
        raise ValueError("its optimizer has another number of parameters")
    for number, moments in state["state"].items():
        for name in MOMENTS:
            moment = moments.get(name)
            if moment is not None and moment.shape != parameters[number].shape:
                raise ValueError(f"its optimizer has {name} of another shape: {moment.shape}")


@contextmanager
def explain_restore(file: Path | None, module: "Adaptation") -> Iterator[None]:
    """Names the checkpoint where training ends before it has begun: in Lightning's own part of it.

    Args:
        file: that training goes on from, if any.
        module: that goes on.

    Raises:
        InputError: it cannot.
    """
    import torch
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    known = (InputError, DivergedError, PrunedError, MisconfigurationException)
    try:
        yield
    except (*known, OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception:
        if file is None or module.started:
            raise
        with explain_damage(file, CHECKPOINT, mend="remove it, and the same command begins anew"):
            raise
