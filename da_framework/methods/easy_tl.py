"""Easy transfer learning: class means, and a linear program that leaves no class empty."""

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.core.array_cache import Array
from da_framework.core.batch import Outputs, Task
from da_framework.core.errors import InputError
from da_framework.core.types import Positive
from da_framework.methods.base import MethodKeys
from da_framework.methods.closed_form import FAR
from da_framework.methods.coral import CORAL
from da_framework.networks.network import Network


class EasyTL(CORAL):
    r"""Easy transfer learning: nearest class mean of the source, where every class gets a sample.

    .. math::
        \min_{M \ge 0} \; \sum_{i, c} \lVert z_i - h_c \rVert \, M_{ic}
        \quad \text{such that} \quad \sum_c M_{ic} = 1, \quad \sum_i M_{ic} \ge 1

    over the target's samples :math:`z_i` and the class means :math:`h_c` of the labelled samples,
    which are first recoloured as by ``CORAL``. The program has integers for a solution: a sample
    goes to its nearest mean, unless a class would stay empty.

    Wang, Chen, Yu, Huang, Yang, "Easy Transfer Learning by Exploiting Intra-domain Structures",
    ICME 2019. https://arxiv.org/abs/1904.01531
    Departure: the paper labels the samples that the program has seen, and no others. Here each
    class has the price :math:`v_c \ge 0` of the program's dual, and a sample goes where
    :math:`\lVert z - h_c \rVert - v_c` is least: the program's own solution on what it has seen,
    and a rule for what it has not. The tables of ``experiments/easy_tl_2019`` are the paper's.

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        align: recolours the source first; without it this is the paper's EasyTL(c).
        ridge: of the covariances, as of ``CORAL``.
    """

    centres: Tensor
    bias: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        align: bool,
        ridge: Positive,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, ridge=ridge, classifier="1nn", **base)
        self.align = align

    def solve(
        self, source: Float[Tensor, "n d"], y: Int[Tensor, " n"], target: Float[Tensor, "m d"]
    ) -> Mapping[str, Tensor]:
        return super().solve(source, y, target) if self.align else {}

    def transform(self, x: Float[Tensor, "rows d"], *, source: bool) -> Float[Tensor, "rows e"]:
        return super().transform(x, source=source) if self.align else x

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        super().refresh(outputs)
        target = self.transform(outputs["target"].features.double(), source=False)
        known = torch.nonzero(self.bias == 0).squeeze(1)
        distances = torch.cdist(target, self.centres[known])
        prices = torch.as_tensor(class_prices(distances.cpu().numpy()))
        self.bias[known] = prices.to(self.bias)

    def learn(self, z: Float[Tensor, "n e"], y: Int[Tensor, " n"]) -> Mapping[str, Tensor]:
        centres = z.new_zeros(len(self.task.classes), z.shape[1])
        bias = z.new_full((len(centres),), FAR)
        for label in torch.unique(y).tolist():
            centres[label], bias[label] = z[y == label].mean(0), 0.0
        return {"centres": centres, "bias": bias}

    def judge(self, z: Float[Tensor, "rows e"]) -> Float[Tensor, "rows k"]:
        return self.bias - torch.cdist(z, self.centres)


def class_prices(cost: Array) -> Array:
    r"""Prices :math:`v \ge 0` of classes, under which each sample's cheapest class is its own.

    That is the one of the cheapest assignment in which no class is empty; prices and assignment
    prove each other: :math:`\sum_i \min_c (C_{ic} - v_c) + \sum_c v_c` is its cost. Among such
    prices they are those under which the closest decision is least close.

    Args:
        cost: C, a row a sample and a column a class.

    Raises:
        InputError: there are fewer samples than classes.
    """
    samples, classes = cost.shape
    prices = np.zeros(classes)
    if len(np.unique(cost.argmin(1))) == classes:
        return prices
    if samples < classes:
        raise InputError(
            f"EasyTL gives each class a sample of the target: it has {samples}, for {classes} "
            "classes; method=coral asks for no such thing"
        )
    chosen = cheapest_assignment(cost)
    counts = np.bincount(chosen, minlength=classes)
    # what a sample would lose elsewhere: C[i, c] - v[c] - (C[i, chosen] - v[chosen]) >= margin
    row, other = np.nonzero(np.arange(classes) != chosen[:, None])
    pairs = np.arange(len(row))
    left = np.zeros((len(row), classes + 1))
    left[pairs, other], left[pairs, chosen[row]], left[:, classes] = 1, -1, 1
    right = cost[row, other] - cost[row, chosen[row]]
    bounds = [(0, 0 if count > 1 else None) for count in counts]
    solved = _solve([0.0] * classes + [-1.0], A_ub=left, b_ub=right, bounds=[*bounds, (0, None)])
    return solved[:classes]


def cheapest_assignment(cost: Array) -> Array:
    """The class of each sample in the cheapest assignment in which no class is empty."""
    from scipy.sparse import eye_array, kron

    samples, classes = cost.shape
    each_sample = kron(eye_array(samples), np.ones((1, classes)), format="csr")
    each_class = kron(np.ones((1, samples)), eye_array(classes), format="csr")
    shares = _solve(
        cost.ravel(),
        A_eq=each_sample,
        b_eq=np.ones(samples),
        A_ub=-each_class,
        b_ub=-np.ones(classes),
    )
    chosen: Array = shares.reshape(cost.shape).argmax(1)
    return chosen


def _solve(objective: Any, **program: Any) -> Array:
    """A vertex that minimises a linear objective, as a simplex method finds it."""
    from scipy.optimize import linprog

    solved = linprog(objective, method="highs-ds", **program)
    if not solved.success:
        raise InputError(f"EasyTL's linear program has no solution: {solved.message}")
    return np.asarray(solved.x)
