"""Correlation alignment: the source recoloured with the target's covariance."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.core.batch import Task
from da_framework.core.errors import InputError
from da_framework.core.types import Positive
from da_framework.methods.base import MethodKeys
from da_framework.methods.closed_form import ClosedForm
from da_framework.networks.network import Network


class CORAL(ClosedForm):
    r"""Correlation alignment: source samples are whitened, then coloured as the target's are.

    .. math::
        z = (x - \mu_S) \, (C_S + \rho I)^{-1/2} (C_T + \rho I)^{1/2} + \mu_T

    Sun, Feng, Saenko, "Return of Frustratingly Easy Domain Adaptation", AAAI 2016, algorithm 1.
    https://arxiv.org/abs/1511.05547
    Departure: the means are matched as well; the paper's features have mean 0.

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        ridge: ρ, in squared units of the features; 1 is the paper's.
        classifier: on the recoloured source.
    """

    aligns: ClassVar = True
    source_mean: Tensor
    target_mean: Tensor
    recolour: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        ridge: Positive,
        classifier: Literal["1nn", "logistic", "svm"],
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, classifier=classifier, **base)
        self.ridge = ridge

    def solve(
        self, source: Float[Tensor, "n d"], y: Int[Tensor, " n"], target: Float[Tensor, "m d"]
    ) -> Mapping[str, Tensor]:
        if min(len(source), len(target)) < 2:
            raise InputError("CORAL needs covariances: a domain of one sample has none")
        roots = [
            matrix_power(covariance_of(x), power, ridge=self.ridge)
            for x, power in ((source, -0.5), (target, 0.5))
        ]
        return {
            "source_mean": source.mean(0),
            "target_mean": target.mean(0),
            "recolour": roots[0] @ roots[1],
        }

    def transform(self, x: Float[Tensor, "rows d"], *, source: bool) -> Float[Tensor, "rows e"]:
        if not source:
            return x
        return (x - self.source_mean) @ self.recolour + self.target_mean


def covariance_of(x: Float[Tensor, "n d"]) -> Float[Tensor, "d d"]:
    """Covariance of rows; a single one does not vary."""
    return torch.cov(x.T, correction=min(1, len(x) - 1)).reshape(x.shape[1], -1)


def matrix_power(
    covariance: Float[Tensor, "d d"], power: float, *, ridge: float
) -> Float[Tensor, "d d"]:
    """Real power of a symmetric matrix, the ridge added to its eigenvalues."""
    values, vectors = torch.linalg.eigh(covariance)
    raised: Tensor = vectors * (values.clamp_min(0) + ridge) ** power @ vectors.T
    return raised
