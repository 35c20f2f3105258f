"""Principal components of both domains."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.methods.closed_form import Components


class PCA(Components):
    r"""Principal component analysis: the directions in which both domains together vary most.

    .. math:: z = W^\top (x - \mu), \qquad W = \arg\max_{W^\top W = I}
        \operatorname{tr} W^\top \operatorname{Cov}(S \cup T) W

    Hotelling, "Analysis of a complex of statistical variables into principal components", Journal
    of Educational Psychology 1933. https://doi.org/10.1037/h0071325

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        components: columns of W; no more than there are samples or features.
        classifier: on the projection.
    """

    mean: Tensor
    projection: Tensor

    def solve(
        self, source: Float[Tensor, "n d"], y: Int[Tensor, " n"], target: Float[Tensor, "m d"]
    ) -> Mapping[str, Tensor]:
        x = torch.cat([source, target])
        return {"mean": x.mean(0), "projection": principal_directions(x, self.components)}

    def transform(self, x: Float[Tensor, "rows d"], *, source: bool) -> Float[Tensor, "rows e"]:
        return (x - self.mean) @ self.projection


def principal_directions(x: Float[Tensor, "n d"], components: int) -> Float[Tensor, "d e"]:
    """Orthonormal directions of the largest variance, the largest first."""
    directions: Tensor = torch.linalg.svd(x - x.mean(0), full_matrices=False)[2]
    return directions[:components].T
