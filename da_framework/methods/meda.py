"""Manifold embedded distribution alignment: ARTL on a geodesic, which weighs what it matches."""

import warnings
from collections.abc import Mapping
from typing import Annotated, ClassVar, Unpack

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from da_framework.core.batch import Task
from da_framework.core.types import Count
from da_framework.methods.artl import ARTL, ARTLKeys
from da_framework.methods.gfk import geodesic_map
from da_framework.methods.jda import class_differences
from da_framework.methods.tca import difference_of_means
from da_framework.networks.network import Network

Balance = Annotated[int | float, Field(ge=0, le=1)]


class MEDA(ARTL):
    r"""Manifold embedded distribution alignment: ARTL along a geodesic, domains or classes first.

    .. math::
        M = (1 - \mu) \, C M_0 + \mu \sum_{c=1}^{C} M_c, \qquad
        \mu = \frac{\overline{A_c}}{\overline{A_c} + A}, \qquad A = 2 (1 - 2 \epsilon)

    in the place of ARTL's M, divided by its norm, where :math:`M_0` compares the domains and
    :math:`M_c` a class in both. ε is the training error of a linear machine that tells the domains
    apart, A that of all samples and :math:`A_c` that of a class's, by the labels of the round
    before; μ is found anew in every round. Samples are first brought along the geodesic between the
    domains' principal subspaces, as ``GFK`` does, and then to length 1.

    Wang, Feng, Chen, Yu, Huang, Yu, "Visual Domain Adaptation with Manifold Embedded Distribution
    Alignment", ACM Multimedia 2018. https://arxiv.org/abs/1807.07258
    Departures: the linear machine is scikit-learn's, where the authors' is a stochastic solver; a
    domain's mean is taken away before the geodesic.

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        components: of each subspace; at most half the features.
        balance: μ; ``None``: estimated in every round.
        artl: the keys of ARTL.
    """

    aligns: ClassVar = True
    source_mean: Tensor
    target_mean: Tensor
    projection: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        components: Count,
        balance: Balance | None,
        **artl: Unpack[ARTLKeys],
    ) -> None:
        super().__init__(network, task, **artl)
        self.components = components
        self.balance = balance

    def solve(
        self, source: Float[Tensor, "n d"], y: Int[Tensor, " n"], target: Float[Tensor, "m d"]
    ) -> Mapping[str, Tensor]:
        return geodesic_map(source, target, self.components)

    def embed(self, x: Float[Tensor, "rows d"], *, source: bool) -> Float[Tensor, "rows e"]:
        return (x - (self.source_mean if source else self.target_mean)) @ self.projection

    def differences(
        self, rows: Float[Tensor, "rows e"], labels: Int[Tensor, " rows"], sources: int
    ) -> Float[Tensor, "rows columns"]:
        """Root of M, its domains and classes weighed: its columns' products."""
        classes = len(self.task.classes)
        balance = self.balance
        if balance is None:
            balance = estimate_balance(rows, labels, sources, classes)
        means = difference_of_means(rows[:sources], rows[sources:]) * classes**0.5
        by_class = class_differences(labels[:sources], labels[sources:], classes)
        e = torch.cat([(1 - balance) ** 0.5 * means, balance**0.5 * by_class], 1)
        root: Tensor = e / torch.linalg.matrix_norm(e.T @ e).sqrt()
        return root


def estimate_balance(
    rows: Float[Tensor, "rows e"], labels: Int[Tensor, " rows"], sources: int, classes: int
) -> float:
    """How much of the domains' distance lies within classes: between 0 (none) and 1 (all).

    Args:
        rows: samples, those of the source first; whatever the length of each.
        labels: of the source, and what is thought of the target.
        sources: how many rows are of the source.
        classes: how many there are; one that a domain does not have is left out.
    """
    source = torch.arange(len(rows), device=rows.device) < sources
    whole = proxy_distance(rows, source)
    within = [
        proxy_distance(rows[inside], source[inside])
        for label in range(classes)
        if 0 < (source & (inside := labels == label)).sum() < inside.sum()
    ]
    by_class = sum(within) / max(len(within), 1)
    return by_class / (by_class + whole) if by_class + whole else 0.5


def proxy_distance(rows: Float[Tensor, "rows e"], source: Tensor) -> float:
    """2 (1 - 2 ε), never below 0, with the training error of a linear machine between domains."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    x, domain = rows.cpu().numpy(), source.cpu().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an estimate needs no last digit
        model = LinearSVC(max_iter=300, random_state=0).fit(x, domain)
    error = float((model.predict(x) != domain).mean())
    return max(2 * (1 - 2 * error), 0.0)
