"""Transfer component analysis."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from da_framework.core.batch import Task
from da_framework.core.types import Count, Positive
from da_framework.losses.mmd import pairwise_squared_distances
from da_framework.methods.base import MethodKeys
from da_framework.methods.closed_form import ClosedForm
from da_framework.networks.network import Network


class TCA(ClosedForm):
    r"""Transfer component analysis: directions that vary, and in which the domains' means agree.

    .. math::
        \min_A \; \operatorname{tr} A^\top K M K A + \rho \lVert A \rVert^2
        \quad \text{such that} \quad A^\top K H K A = I, \qquad z = A^\top k(x)

    with :math:`M = e e^\top / \lVert e e^\top \rVert_F`, e = 1/n on the source's rows and -1/m on
    the target's, and the centring matrix H. The components are the leading eigenvectors of
    :math:`(K M K + \rho I)^{-1} K H K`, each brought to length 1.

    Pan, Tsang, Kwok, Yang, "Domain Adaptation via Transfer Component Analysis", IEEE Transactions
    on Neural Networks 2011. https://doi.org/10.1109/TNN.2010.2091281
    Departures: M is divided by its norm, as in the code of JDA's authors, whose table
    (``experiments/jda_2013``) this reproduces in every digit. The linear kernel is worked with
    in the row space of the features, which is exact and no larger than their number.

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        components: columns of A.
        ridge: ρ.
        kernel: ``linear``; ``primal`` (directions of the features themselves: K is X and the
            penalty on them); ``rbf``, its width from the mean squared distance of the rows.
        normalize_features: rows to length 1 before.
        normalize_projection: rows to length 1 after.
        classifier: on the projection.
    """

    aligns: ClassVar = True
    rows: Tensor
    rate: Tensor
    basis: Tensor
    projection: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        components: Count,
        ridge: Positive,
        kernel: Literal["linear", "primal", "rbf"],
        normalize_features: bool,
        normalize_projection: bool,
        classifier: Literal["1nn", "logistic", "svm"],
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, classifier=classifier, **base)
        self.components = components
        self.ridge = ridge
        self.kernel = kernel
        self.normalize_features = normalize_features
        self.normalize_projection = normalize_projection

    def solve(
        self, source: Float[Tensor, "n d"], y: Int[Tensor, " n"], target: Float[Tensor, "m d"]
    ) -> Mapping[str, Tensor]:
        means = difference_of_means(source, target)
        return self.fit_components(self.lift_training(source, target), means)

    def lift_training(
        self, source: Float[Tensor, "n d"], target: Float[Tensor, "m d"]
    ) -> Float[Tensor, "rows r"]:
        """The rows of K, in a basis of their space; keeps what brings other rows there."""
        x = self.prepare(torch.cat([source, target]))
        if self.kernel == "rbf":
            self.keep(
                {"rows": x, "rate": 1 / pairwise_squared_distances(x).mean().clamp_min(1e-12)}
            )
        elif self.kernel == "linear":
            _, lengths, directions = torch.linalg.svd(x, full_matrices=False)
            kept = lengths > 1e-10 * lengths[0]
            self.keep({"basis": directions[kept].T * lengths[kept]})
        return self.lift(x)

    def lift(self, x: Float[Tensor, "rows d"]) -> Float[Tensor, "rows r"]:
        """Kernel of rows with those of training."""
        if self.kernel == "rbf":
            squared = torch.cdist(x, self.rows).square()
            return torch.exp(-self.rate * squared)
        return x @ self.basis if self.kernel == "linear" else x

    def fit_components(
        self, k: Float[Tensor, "rows r"], differences: Float[Tensor, "rows c"]
    ) -> Mapping[str, Tensor]:
        r"""Solves for the components.

        Args:
            k: the rows of K.
            differences: E, of which :math:`M = E E^\top` before it is brought to norm 1.
        """
        e = k.T @ differences / torch.linalg.matrix_norm(differences.T @ differences).sqrt()
        varying = (k - k.mean(0)).T @ (k - k.mean(0))
        # the inverse root of ρI + ee' : ee' is of rank 1, or a few
        directions, lengths, _ = torch.linalg.svd(e, full_matrices=False)
        scale = (self.ridge / (self.ridge + lengths.square())).sqrt() - 1
        root = torch.eye(len(e)).to(k) + directions * scale @ directions.T
        _, vectors = torch.linalg.eigh(root @ varying @ root)
        projection = root @ vectors.flip(1)[:, : self.components]
        return {"projection": normalize(projection, dim=0)}

    def transform(self, x: Float[Tensor, "rows d"], *, source: bool) -> Float[Tensor, "rows e"]:
        z = self.lift(self.prepare(x)) @ self.projection
        return normalize(z) if self.normalize_projection else z

    def prepare(self, x: Float[Tensor, "rows d"]) -> Float[Tensor, "rows d"]:
        """The features, of length 1 if asked for."""
        return normalize(x) if self.normalize_features else x


def difference_of_means(
    source: Float[Tensor, "n d"], target: Float[Tensor, "m d"]
) -> Float[Tensor, "rows 1"]:
    """1/n on the source's rows and -1/m on the target's."""
    n, m = len(source), len(target)
    return torch.cat([source.new_full((n, 1), 1 / n), source.new_full((m, 1), -1 / m)])
