"""Alignment of the domains' principal subspaces."""

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from da_framework.methods.closed_form import Components
from da_framework.methods.pca import principal_directions


class SubspaceAlignment(Components):
    r"""Subspace alignment: the source's principal subspace is turned towards the target's.

    .. math::
        z_S = (x_S - \mu_S) \, P_S P_S^\top P_T, \qquad z_T = (x_T - \mu_T) \, P_T

    :math:`P_S^\top P_T` minimises :math:`\lVert P_S M - P_T \rVert_F` over M.

    Fernando, Habrard, Sebban, Tuytelaars, "Unsupervised Visual Domain Adaptation Using Subspace
    Alignment", ICCV 2013. https://doi.org/10.1109/ICCV.2013.368

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        components: columns of :math:`P_S` and :math:`P_T`.
        classifier: on the aligned source.
    """

    aligns: ClassVar = True
    source_mean: Tensor
    target_mean: Tensor
    source_projection: Tensor
    target_projection: Tensor

    def solve(
        self, source: Float[Tensor, "n d"], y: Int[Tensor, " n"], target: Float[Tensor, "m d"]
    ) -> Mapping[str, Tensor]:
        source_basis = principal_directions(source, self.components)
        target_basis = principal_directions(target, self.components)
        return {
            "source_mean": source.mean(0),
            "target_mean": target.mean(0),
            "source_projection": source_basis @ source_basis.T @ target_basis,
            "target_projection": target_basis,
        }

    def transform(self, x: Float[Tensor, "rows d"], *, source: bool) -> Float[Tensor, "rows e"]:
        if source:
            return (x - self.source_mean) @ self.source_projection
        return (x - self.target_mean) @ self.target_projection
