"""The source carried onto the target by optimal transport."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import ClassVar, Literal, Unpack

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.core.array_cache import Array
from da_framework.core.batch import Task
from da_framework.core.errors import InputError
from da_framework.core.types import NonNegative
from da_framework.methods.base import MethodKeys
from da_framework.methods.closed_form import ClosedForm
from da_framework.networks.network import Network


class OptimalTransport(ClosedForm):
    r"""Optimal transport: source samples move to the mean of where their mass goes in the target.

    .. math::
        \min_\gamma \; \langle \gamma, C \rangle + \rho \sum_{ij} \gamma_{ij} \log \gamma_{ij}
        + \eta \sum_j \sum_c \lVert \gamma_{I_c j} \rVert^{1/2}_1, \qquad
        z_i = n \sum_j \gamma_{ij} x^T_j

    over the couplings of equal masses, with squared Euclidean costs C divided by the largest. With
    ρ = 0 the coupling is exact. η keeps samples of different classes from going to one target
    sample. A sample that was not there goes with the nearest that was.

    Courty, Flamary, Tuia, Rakotomamonjy, "Optimal Transport for Domain Adaptation", TPAMI 2017.
    https://arxiv.org/abs/1507.00504

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        entropy: ρ.
        class_sparsity: η; needs an entropy.
        classifier: on the carried source.
    """

    aligns: ClassVar = True
    rows: Tensor
    moves: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        entropy: NonNegative,
        class_sparsity: NonNegative,
        classifier: Literal["1nn", "logistic", "svm"],
        **base: Unpack[MethodKeys],
    ) -> None:
        if find_spec("ot") is None:
            raise InputError("OptimalTransport needs POT: pip install 'da_framework[ot]'")
        if class_sparsity and not entropy:
            raise InputError("method.class_sparsity needs method.entropy above 0: 0.1 is usual")
        super().__init__(network, task, classifier=classifier, **base)
        self.entropy = entropy
        self.class_sparsity = class_sparsity

    def solve(
        self, source: Float[Tensor, "n d"], y: Int[Tensor, " n"], target: Float[Tensor, "m d"]
    ) -> Mapping[str, Tensor]:
        cost = torch.cdist(source, target).square()
        plan = self.coupling((cost / cost.max().clamp_min(1e-12)).cpu().numpy(), y.cpu().numpy())
        shares = torch.as_tensor(plan / np.maximum(plan.sum(1, keepdims=True), 1e-300))
        carried = shares.to(source) @ target
        return {"rows": source, "moves": carried - source}

    def coupling(self, cost: Array, y: Array) -> Array:
        """Where the mass of each source sample goes."""
        import ot

        masses = [np.full(rows, 1 / rows) for rows in cost.shape]
        if self.class_sparsity:
            plan = ot.da.sinkhorn_lpl1_mm(
                *(masses[0], y, masses[1], cost, self.entropy),
                eta=self.class_sparsity,
                numInnerItermax=10000,
            )
        elif self.entropy:
            plan = ot.sinkhorn(*masses, cost, self.entropy, method="sinkhorn_log")
        else:
            plan = ot.emd(*masses, cost)
        return np.asarray(plan)

    def transform(self, x: Float[Tensor, "rows d"], *, source: bool) -> Float[Tensor, "rows e"]:
        if not source:
            return x
        nearest = torch.cdist(x, self.rows).argmin(1)
        return x + self.moves[nearest]
