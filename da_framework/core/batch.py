"""The nouns every room shares: what goes into a method and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from da_framework.core.errors import listed
from da_framework.core.labels import UNLABELLED

__all__ = [
    "UNLABELLED",
    "Batch",
    "Objective",
    "Outputs",
    "Samples",
    "Task",
    "Term",
    "as_input",
    "both_features",
    "every_kth",
    "row_blocks",
    "send",
]

MOST_NUMBERS = 2**24
"""Numbers that are passed through a network at once, where no gradient is made."""

FEWEST_ROWS = 32
"""Of a block of a matrix: of fewer, torch computes distances in another way."""


@dataclass(frozen=True)
class Task:
    """What is to be learnt.

    Attributes:
        classes: names of what can be learnt; the position is the label.
        domains: names; the position is ``Samples.domain``.
        rows: training rows of each role.
        shape: of one input, without the batch.
        sources: how many of the domains are sources; they are the first.
        teachers: frozen networks of former runs, where the configuration names any.
        widths: columns of each domain's own rows, which zeros behind them make as long as the
            longest; empty where all domains have the same.
        class_counts: training samples of each class, by labelled role.
    """

    classes: tuple[str, ...]
    domains: tuple[str, ...]
    rows: Mapping[str, int]
    shape: tuple[int, ...]
    sources: int = 1
    teachers: tuple[Any, ...] = ()
    widths: tuple[int, ...] = ()
    class_counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def columns(self) -> str:
        """The widths in words."""
        pairs = zip(self.domains, self.widths, strict=True)
        return listed(f"{name} has {width} columns" for name, width in pairs)


class Samples(NamedTuple):
    """Rows of one role.

    Attributes:
        x: inputs.
        y: labels; ``UNLABELLED`` in the role ``target``.
        domain: which of the task's domains each row is from.
        row: its number within the whole role.
    """

    x: Tensor
    y: Tensor
    domain: Tensor
    row: Tensor

    def at(self, rows: Tensor | slice) -> "Samples":
        """Those rows alone."""
        return Samples(*(field[rows] for field in self))


class Outputs(NamedTuple):
    """Samples with what the network makes of them."""

    x: Tensor
    y: Tensor
    domain: Tensor
    row: Tensor
    features: Tensor
    logits: Tensor

    def labelled(self) -> "Outputs":
        """Those samples alone whose label is known; all of them if it is of all."""
        known = self.y != UNLABELLED
        return self if bool(known.all()) else Outputs(*(field[known] for field in self))


def both_features(source: Outputs, target: Outputs) -> Tensor:
    """The features of both sides, source first.

    Where one pass made them, and they follow each other in what it made, that is it: neither they
    nor their gradients are copied.
    """
    first, second = source.features, target.features
    whole, node = first._base, first.grad_fn
    if (
        whole is not None
        and whole is second._base
        # one node made both, and of this: what scales gradients on the way is a node of its own
        and node is not None
        and node is second.grad_fn
        and node.next_functions[0][0] is whole.grad_fn
        and whole.is_contiguous()
        and whole.shape == (first.shape[0] + second.shape[0], *first.shape[1:])
        and first.storage_offset() == whole.storage_offset()
        and second.storage_offset() == first.storage_offset() + first.numel()
    ):
        return whole
    return torch.cat([first, second])


def send(x: Tensor, to: Tensor | torch.device) -> Tensor:
    """A tensor as another has its type and device, or on a device; no GPU is waited for.

    From memory that is not pinned a copy is on its way once this returns: the tensor may change.
    """
    device = to.device if isinstance(to, Tensor) else to
    moved: Tensor = x.to(to, non_blocking=device.type == "cuda")
    return moved


Batch = Mapping[str, Samples]
"""Role to samples."""


def as_input(x: Tensor) -> Tensor:
    """Images of bytes as numbers in [-1, 1]; anything else as it is."""
    return x.float().div_(127.5).sub_(1) if x.dtype == torch.uint8 else x


MOST_COMPARED = 2**14
"""Rows that are compared each with each."""


def every_kth(rows: Tensor) -> Tensor:
    """Of rows that are too many to be compared, every k-th: some of each part of them."""
    return rows[:: max(1, -(-len(rows) // MOST_COMPARED))]


def row_blocks(rows: int, columns: int) -> list[slice]:
    """Of a matrix, the rows that are there at a time: all, unless it has too many numbers."""
    size = max(FEWEST_ROWS, MOST_NUMBERS // max(1, columns))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


class Term(NamedTuple):
    """One summand of an objective; logged unweighted."""

    value: Tensor
    weight: float = 1.0


class Objective(NamedTuple):
    """What one move of training minimises, and which parts move.

    Attributes:
        terms: by name.
        updates: the parts (keys of ``Method.parts``) whose optimizers step.
    """

    terms: Mapping[str, Term]
    updates: tuple[str, ...] = ("model",)

    @property
    def total(self) -> Tensor:
        """Sum of weight times value."""
        first, *others = [
            value if weight == 1 else weight * value for value, weight in self.terms.values()
        ]
        for other in others:
            first = first + other
        return first
