"""Losses of the last steps, kept on the device until somebody reads them."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from da_framework.core.batch import Term
from da_framework.core.errors import DivergedError


class Meter:
    """Values of terms, kept on the device until somebody reads them.

    Attributes:
        rows: values that nobody has read.
        seen: those read, but in no mean yet.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[int, str, Tensor]] = []
        self.seen: list[tuple[int, str, float]] = []

    def add(self, step: int, terms: Mapping[str, Term]) -> None:
        """The terms of one objective."""
        self.rows += [(step, name, term.value.detach()) for name, term in terms.items()]

    def compute_and_reset(self) -> dict[str, float]:
        """Mean of each term since the last reading."""
        terms: dict[str, list[float]] = {}
        for _, name, value in self.peek():
            terms.setdefault(name, []).append(value)
        self.seen = []
        return {name: sum(own) / len(own) for name, own in terms.items()}

    def peek(self) -> list[tuple[int, str, float]]:
        """Values since the last reading, which they stay part of; one wait for the device.

        Raises:
            DivergedError: a value is not finite; names the first.
        """
        if self.rows:
            rows, self.rows = self.rows, []
            every = [value for _, _, value in rows]
            if len({value.dtype for value in every}) > 1:
                every = [value.double() for value in every]
            values = torch.stack(every).tolist()
            for (step, name, _), value in zip(rows, values, strict=True):
                if not math.isfinite(value):
                    raise DivergedError(f"step {step}: the term {name} is {value}")
                self.seen.append((step, name, value))
        return self.seen
