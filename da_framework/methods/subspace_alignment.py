"""Alignment of the domains' principal subspaces."""

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from da_framework.methods.closed_form import Components
from da_framework.methods.pca import principal


class SubspaceAlignment(Components):
    r"""Source rows in their own principal subspace, turned towards the target's.

    .. math::
        z_S = (x_S - \mu_S) \, P_S P_S^\top P_T, \qquad z_T = (x_T - \mu_T) \, P_T

    :math:`P_S^\top P_T` minimises :math:`\lVert P_S M - P_T \rVert_F` over M.

    Fernando, Habrard, Sebban, Tuytelaars, "Unsupervised Visual Domain Adaptation Using Subspace
    Alignment", ICCV 2013. https://doi.org/10.1109/ICCV.2013.368

    Args:
        network: encoder; its head is not used.
        task: classes, domains and rows.
        components: columns of :math:`P_S` and :math:`P_T`.
        classifier: on the aligned source.
    """

    aligns: ClassVar = True

    def solve(
        self, source: Float[Tensor, "n d"], y: Int[Tensor, " n"], target: Float[Tensor, "m d"]
    ) -> Mapping[str, Tensor]:
        own, other = (principal(x, self.components) for x in (source, target))
        return {
            "source_mean": source.mean(0),
            "target_mean": target.mean(0),
            "source_projection": own @ own.T @ other,
            "target_projection": other,
        }

    def transform(self, x: Float[Tensor, "rows d"], *, source: bool) -> Float[Tensor, "rows e"]:
        side = "source" if source else "target"
        return (x - self.get_buffer(f"{side}_mean")) @ self.get_buffer(f"{side}_projection")
