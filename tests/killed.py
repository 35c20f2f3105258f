"""A death in the middle of training, as a signal that nothing catches would have it."""

from dataclasses import dataclass
from typing import Any

import pytest

from da_framework.training.module import Adaptation


class Killed(BaseException):
    """What nothing catches."""


@dataclass
class Steps:
    """How many were begun, over all runs."""

    begun: int = 0


def die_at_steps(monkeypatch: pytest.MonkeyPatch, *steps: int) -> Steps:
    """Dies at each of some steps, counted over all runs from now on."""
    take, counted = Adaptation.take_step, Steps()

    def dying(self: Any, batch: Any) -> None:
        counted.begun += 1
        if counted.begun in steps:
            raise Killed
        take(self, batch)

    monkeypatch.setattr(Adaptation, "take_step", dying)
    return counted
