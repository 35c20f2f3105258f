"""A regulariser that the configuration adds to any method."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from da_framework.core.batch import Outputs, Term
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import Finite, NonNegative

Read = Literal[
    "source.features",
    "source.logits",
    "source.y",
    "target.features",
    "target.logits",
    "target_labelled.features",
    "target_labelled.logits",
    "target_labelled.y",
]
"""What a loss may be given: a field of the outputs of a role."""


class Extra:
    r"""An extra term: any loss that the configuration adds to the objective of any method.

    .. math:: w \, r_p \, \ell(\text{what is read})

    Args:
        loss: a pure function of tensors.
        reads: what it is given, in its order: ``[source.features, target.features]``.
        weight: w.
        ramp: r, a factor on the weight, as a function of progress.
    """

    def __init__(
        self,
        *,
        loss: Callable[..., Tensor],
        reads: Annotated[list[Read], Field(min_length=1)],
        weight: NonNegative,
        ramp: Schedule | Finite,
    ) -> None:
        self.loss = loss
        self.reads = [read.split(".") for read in reads]
        self.weight = weight
        self.ramp = as_schedule(ramp)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles it reads."""
        return tuple(dict.fromkeys(role for role, _ in self.reads))

    def __call__(self, outputs: Mapping[str, Outputs], progress: float) -> Term:
        """The term at this progress."""
        given = [getattr(outputs[role], field) for role, field in self.reads]
        return Term(self.loss(*given), self.weight * self.ramp(progress))
