"""What methods have in common that learn from several sources for a target that is never seen."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from da_framework.core.batch import Outputs
from da_framework.losses.invariance import domain_means
from da_framework.methods.base import Method


class Generalization(Method):
    """A method of domain generalisation: the target is tested, and never seen.

    Sources have equal shares of a batch, so that the mean over its samples is the mean of the
    sources' risks. One pass over all of them gives the risk of each.
    """

    roles: ClassVar[tuple[str, ...]] = ("source",)
    optional: ClassVar[tuple[str, ...]] = ()
    generalizes: ClassVar[bool] = True

    def risks(self, source: Outputs) -> Float[Tensor, " e"]:
        """The classification loss of each source that has a sample in the batch."""
        return domain_means(self.label_losses(source, "source"), source.domain)
