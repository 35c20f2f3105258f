"""Joint geometrical and statistical alignment: a map for each domain, near each other."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from da_framework.core.batch import Task
from da_framework.core.types import Count, NonNegative, Positive
from da_framework.methods.base import MethodKeys
from da_framework.methods.closed_form import ClosedForm
from da_framework.methods.jda import class_differences
from da_framework.methods.tca import difference_of_means
from da_framework.networks.network import Network

NUGGET = 1e-9
"""Added to the denominator's diagonal, as in the authors' code."""


class JGSA(ClosedForm):
    r"""Joint geometrical and statistical alignment: two coupled maps in which the domains agree.

    .. math::
        \max_{A, B} \; \frac{\operatorname{tr} \left( \beta A^\top S_b A
        + \mu B^\top X_T H X_T^\top B \right)}{\operatorname{tr} \left(
        \lVert E_S^\top A + E_T^\top B \rVert^2 + \alpha \lVert A - B \rVert^2
        + \beta A^\top S_w A + \mu \lVert B \rVert^2 \right)}, \qquad
        z_S = A^\top x, \quad z_T = B^\top x

    with the scatter between and within the source's classes, :math:`S_b` and :math:`S_w`, and the
    differences E of the domains' and classes' means, of which :math:`E E^\top` is the M of ``JDA``.
    The columns of [A; B] are the leading eigenvectors, brought to length 1. The target's
    classes are those of the nearest source sample at first, then those of the round before.

    Zhang, Li, Ogunbona, "Joint Geometrical and Statistical Alignment for Visual Domain Adaptation",
    CVPR 2017. https://arxiv.org/abs/1705.05498
    As in the authors' code, M is divided by the norm of its first part, and the scatters are sums.

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        rounds: of projecting and labelling anew.
        components: columns of A and of B.
        closeness: α, which keeps A and B together.
        discrimination: β, of the source's classes.
        variance: μ, of the target's scatter.
        normalize_features: samples to length 1 before.
        classifier: on the mapped source.
    """

    aligns: ClassVar = True
    source_projection: Tensor
    target_projection: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        rounds: Count,
        components: Count,
        closeness: NonNegative,
        discrimination: NonNegative,
        variance: Positive,
        normalize_features: bool,
        classifier: Literal["1nn", "logistic", "svm"],
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, classifier=classifier, **base)
        self.rounds = rounds
        self.components = components
        self.closeness = closeness
        self.discrimination = discrimination
        self.variance = variance
        self.normalize_features = normalize_features

    def solve(
        self, source: Float[Tensor, "n d"], y: Int[Tensor, " n"], target: Float[Tensor, "m d"]
    ) -> Mapping[str, Tensor]:
        x, u = self.prepare(source), self.prepare(target)
        between, within = class_scatters(x, y)
        centred = u - u.mean(0)
        d = x.shape[1]
        eye = torch.eye(d).to(x)
        gain = x.new_zeros(2 * d, 2 * d)
        gain[:d, :d] = self.discrimination * between
        gain[d:, d:] = self.variance * centred.T @ centred
        plain = torch.zeros_like(gain)
        plain[:d, :d] = self.closeness * eye + self.discrimination * within
        plain[:d, d:] = plain[d:, :d] = -self.closeness * eye
        plain[d:, d:] = (self.closeness + self.variance) * eye
        plain.diagonal().add_(NUGGET)
        classes = len(self.task.classes)
        means = difference_of_means(x, u) * classes**0.5
        norm = means.square().sum()
        self.keep(self.learn(x, y))
        pseudo_labels = self.judge(u).argmax(1)
        for _ in range(self.rounds):
            e = torch.cat([means, class_differences(y, pseudo_labels, classes)], 1) / norm.sqrt()
            both = torch.cat([x.T @ e[: len(x)], u.T @ e[len(x) :]])
            maps = leading_directions(gain, plain + both @ both.T, self.components)
            maps = normalize(maps, dim=0)
            self.keep({"source_projection": maps[:d], "target_projection": maps[d:]})
            self.keep(self.learn(self.transform(source, source=True), y))
            pseudo_labels = self.judge(self.transform(target, source=False)).argmax(1)
        return {}

    def transform(self, x: Float[Tensor, "rows d"], *, source: bool) -> Float[Tensor, "rows e"]:
        return self.prepare(x) @ (self.source_projection if source else self.target_projection)

    def prepare(self, x: Float[Tensor, "rows d"]) -> Float[Tensor, "rows d"]:
        """The features, of length 1 if asked for."""
        return normalize(x) if self.normalize_features else x


def class_scatters(
    x: Float[Tensor, "n d"], y: Int[Tensor, " n"]
) -> tuple[Float[Tensor, "d d"], Float[Tensor, "d d"]]:
    """Scatter between the classes, each as often as it has samples, and within them; sums."""
    known, index = torch.unique(y, return_inverse=True)
    means = torch.stack([x[y == label].mean(0) for label in known])[index]
    apart, inside = means - x.mean(0), x - means
    return apart.T @ apart, inside.T @ inside


def leading_directions(
    gain: Float[Tensor, "d d"], cost: Float[Tensor, "d d"], components: int
) -> Float[Tensor, "d c"]:
    r"""Eigenvectors of the largest eigenvalues of :math:`G a = \theta C a`, for positive C."""
    lower = torch.linalg.cholesky(cost)
    half = torch.linalg.solve_triangular(lower, gain, upper=False)
    whole = torch.linalg.solve_triangular(lower, half.T, upper=False)
    _, vectors = torch.linalg.eigh((whole + whole.T) / 2)
    chosen = vectors.flip(1)[:, :components]
    directions: Tensor = torch.linalg.solve_triangular(lower.T, chosen, upper=True)
    return directions
