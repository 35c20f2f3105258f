"""Discriminative joint probability maximum mean discrepancy."""

from collections.abc import Mapping
from typing import Literal, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from da_framework.core.batch import Task
from da_framework.core.types import Count, NonNegative, Positive
from da_framework.methods.base import MethodKeys
from da_framework.methods.jda import JDA
from da_framework.networks.network import Network


class JPDA(JDA):
    r"""Joint probability adaptation: transfer components that match P(x, y), class against class.

    .. math::
        M = \frac{N N^\top}{\lVert N N^\top \rVert_F}
        - \mu \frac{\bar N \bar N^\top}{\lVert \bar N \bar N^\top \rVert_F}, \qquad
        N = \begin{pmatrix} Y_S / n \\ -\hat Y_T / m \end{pmatrix}

    with one-hot labels :math:`Y_S` and pseudo-labels :math:`\hat Y_T`: each class counts as often
    as it has samples, where JDA, which compares P(x) and P(x | y), gives all classes one weight.
    :math:`\bar N` has a column for every two different classes, one of the source and one of the
    target, whose distance grows. The components are those of the smallest eigenvalues of

    .. math:: (K M K + \rho I) \, a = \theta \, K H K \, a

    some of which are below 0 where μ is above 0.

    Zhang, Wu, "Discriminative Joint Probability Maximum Mean Discrepancy (DJP-MMD) for Domain
    Adaptation", IJCNN 2020. https://arxiv.org/abs/1912.00320
    As in the authors' code, the first round has no pseudo-labels, :math:`\hat Y_T = 0`. So it gives
    their table in every digit (``experiments/jpda_2020``).

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        discrimination: μ; the paper's is 0.1, and with 0 it is the joint probability MMD alone.
        rounds: of projecting and labelling anew.
        components: columns of A.
        ridge: ρ.
        kernel: as of ``TCA``.
        normalize_features: samples to length 1 before.
        normalize_projection: samples to length 1 after.
        classifier: on the projection.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        discrimination: NonNegative,
        rounds: Count,
        components: Count,
        ridge: Positive,
        kernel: Literal["linear", "primal", "rbf"],
        normalize_features: bool,
        normalize_projection: bool,
        classifier: Literal["1nn", "logistic", "svm"],
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(
            network,
            task,
            rounds=rounds,
            components=components,
            ridge=ridge,
            kernel=kernel,
            normalize_features=normalize_features,
            normalize_projection=normalize_projection,
            classifier=classifier,
            **base,
        )
        self.discrimination = discrimination

    def fit_round(
        self,
        k: Float[Tensor, "rows r"],
        source: Float[Tensor, "n d"],
        y: Int[Tensor, " n"],
        target: Float[Tensor, "m d"],
        pseudo_labels: Int[Tensor, " m"] | None,
    ) -> Mapping[str, Tensor]:
        alike, unlike = joint_differences(y, pseudo_labels, len(target), len(self.task.classes))
        if not (self.discrimination and unlike.shape[1] and k.shape[1]):
            return self.fit_components(k, alike)
        loss = self.ridge * torch.eye(k.shape[1]).to(k)
        for columns, weight in ((alike, 1.0), (unlike, -self.discrimination)):
            e = k.T @ columns
            loss += weight / norm_of_products(columns) * e @ e.T
        centred = k - k.mean(0)
        projection = least_directions(loss, centred.T @ centred, self.components)
        return {"projection": normalize(projection, dim=0)}


def joint_differences(
    y: Int[Tensor, " n"], pseudo_labels: Int[Tensor, " m"] | None, targets: int, classes: int
) -> tuple[Float[Tensor, "rows k"], Float[Tensor, "rows pairs"]]:
    """N and the columns of two different classes; without pseudo-labels the target has zeros."""
    source = one_hot(y, classes).double() / len(y)
    target = source.new_zeros(targets, classes)
    if pseudo_labels is not None:
        target = one_hot(pseudo_labels, classes).to(source) / targets
    first, other = torch.nonzero(~torch.eye(classes, dtype=torch.bool, device=y.device)).T
    alike, unlike = ((source, target), (source[:, first], target[:, other]))
    return torch.cat([alike[0], -alike[1]]), torch.cat([unlike[0], -unlike[1]])


def norm_of_products(columns: Float[Tensor, "rows k"]) -> Float[Tensor, ""]:
    """Frobenius norm of C C', which is that of C' C: pairs of many classes are more than rows."""
    rows, pairs = columns.shape
    products = columns.T @ columns if pairs <= rows else columns @ columns.T
    norm: Tensor = torch.linalg.matrix_norm(products)
    return norm


def least_directions(
    loss: Float[Tensor, "r r"], varying: Float[Tensor, "r r"], components: int
) -> Float[Tensor, "r c"]:
    r"""Directions of the smallest eigenvalues of :math:`L a = \theta V a`, negative ones first.

    V may be singular: a direction in which nothing varies costs what L says it costs at its best.

    Args:
        loss: L, symmetric; positive definite where nothing varies.
        varying: V, symmetric and positive semi-definite.
        components: how many.
    """
    values, vectors = torch.linalg.eigh(varying)
    kept = values > 1e-10 * values[-1].clamp_min(1e-12)
    still = vectors[:, ~kept]
    root = vectors[:, kept] / values[kept].sqrt()
    root = root - still @ torch.linalg.solve(still.T @ loss @ still, still.T @ loss @ root)
    _, chosen = torch.linalg.eigh(root.T @ loss @ root)
    directions: Tensor = root @ chosen[:, :components]
    return directions
