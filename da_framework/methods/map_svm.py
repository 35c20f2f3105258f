"""A support vector machine whose kernel has a map between the domains on one side."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Unpack

from jaxtyping import Float, Int
from torch import Tensor

from da_framework.core.batch import Task
from da_framework.core.errors import InputError
from da_framework.core.types import Count, Positive
from da_framework.methods.base import MethodKeys
from da_framework.methods.coral import covariance_of, matrix_power
from da_framework.methods.gfk import geodesic_flow
from da_framework.methods.kernel_svm import Cost, KernelSVM
from da_framework.methods.pca import principal_directions
from da_framework.networks.network import Network


class MapSVM(KernelSVM):
    r"""Support vector machine on products of mapped source samples with samples as they are.

    .. math::
        f(x) = \sum_i \alpha_i \, x_i A x^\top + \beta, \qquad A = \begin{cases}
        (C_S + \rho I)^{-1/2} (C_T + \rho I)^{1/2} & \text{covariances} \\
        P_S P_S^\top P_T P_T^\top & \text{subspaces} \\
        G & \text{geodesic} \end{cases}

    So do the authors of CORAL classify in the paper's tables. The map stands on one side, in
    training too, where neither side is of the target: but for ``geodesic`` the kernel is not
    symmetric, and the machine no optimum of anything. What the paper describes, recolouring the
    source and a linear machine on top, is ``method=coral`` with ``classifier: svm``.

    Sun, Feng, Saenko, "Return of Frustratingly Easy Domain Adaptation", AAAI 2016.
    https://arxiv.org/abs/1511.05547

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        alignment: of ``covariances`` as CORAL's, of ``subspaces`` as subspace alignment's, or the
            ``geodesic`` flow kernel.
        components: directions of each domain, of ``subspaces`` and ``geodesic``.
        ridge: ρ, of ``covariances``; 1 is the paper's.
        cost: C, what a sample on the wrong side costs; of several, two folds choose one.
    """

    baseline: ClassVar = False
    middle: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        alignment: Literal["covariances", "subspaces", "geodesic"],
        components: Count,
        ridge: Positive,
        cost: Cost,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, cost=cost, **base)
        self.alignment = alignment
        self.components = components
        self.ridge = ridge

    def solve(
        self, source: Float[Tensor, "n d"], y: Int[Tensor, " n"], target: Float[Tensor, "m d"]
    ) -> Mapping[str, Tensor]:
        if self.alignment == "covariances":
            if min(len(source), len(target)) < 2:
                raise InputError("CORAL needs covariances: a domain of one sample has none")
            powers = ((source, -0.5), (target, 0.5))
            roots = [matrix_power(covariance_of(x), p, ridge=self.ridge) for x, p in powers]
            return {"middle": roots[0] @ roots[1]}
        components = min(self.components, max(source.shape[1] // 2, 1))
        bases = [principal_directions(x, components) for x in (source, target)]
        if self.alignment == "geodesic":
            count = min(basis.shape[1] for basis in bases)
            root = geodesic_flow(*(basis[:, :count] for basis in bases))
            return {"middle": root @ root.T}
        return {"middle": bases[0] @ bases[0].T @ bases[1] @ bases[1].T}

    def kernel(
        self, x: Float[Tensor, "rows e"], reference: Float[Tensor, "n e"]
    ) -> Float[Tensor, "rows n"]:
        return x @ (reference @ self.middle).T
