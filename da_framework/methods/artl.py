"""Adaptation regularization: a kernel machine that fits the source and whose domains agree."""

from collections.abc import Mapping
from typing import Unpack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from da_framework.core.batch import Outputs, Task
from da_framework.core.types import Count, NonNegative, Positive
from da_framework.methods.base import MethodKeys
from da_framework.methods.closed_form import FAR, ClosedForm
from da_framework.methods.jda import class_differences
from da_framework.methods.tca import difference_of_means
from da_framework.networks.network import Network


class ARTLKeys(MethodKeys):
    """The keys of ARTL and of what is built on it.

    Attributes:
        rounds: of fitting and labelling anew.
        ridge: σ.
        matching: λ, of the distances between domains.
        smoothness: γ, of the differences between neighbours.
        neighbours: of each sample in the graph.
        width: w of the kernel, in lengths of a sample.
    """

    rounds: Count
    ridge: Positive
    matching: NonNegative
    smoothness: NonNegative
    neighbours: Count
    width: Positive


class ARTL(ClosedForm):
    r"""Adaptation regularization based transfer learning: a machine whose outputs match by domain.

    .. math::
        \min_\beta \; \lVert E (Y - K \beta) \rVert^2 + \sigma \operatorname{tr} \beta^\top K \beta
        + \lambda \operatorname{tr} \beta^\top K M K \beta
        + \gamma \operatorname{tr} \beta^\top K L K \beta

    that is :math:`\beta = ((E + \lambda M + \gamma L) K + \sigma I)^{-1} E Y`, for the scores
    :math:`K \beta`: E chooses the labelled samples, M compares domains and classes as in ``JDA``,
    L is the normalised Laplacian of the graph of nearest neighbours. Samples have length 1 and
    :math:`k(x, x') = \exp(-\lVert x - x' \rVert^2 / 2 w^2)`. The target's classes in M are those
    of the nearest labelled sample at first, then those of the round before.

    Long, Wang, Ding, Pan, Yu, "Adaptation Regularization: A General Framework for Transfer
    Learning", IEEE Transactions on Knowledge and Data Engineering 2014.
    https://doi.org/10.1109/TKDE.2013.111
    Departures: several rounds, and M divided by its norm, as in the code of MEDA's authors, whose
    row of ARTL this reproduces (``experiments/meda_2018``); a sample is its own neighbour as well.

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        rounds: of fitting and labelling anew.
        ridge: σ.
        matching: λ, of the distances between domains.
        smoothness: γ, of the differences between neighbours.
        neighbours: of each sample in the graph.
        width: w of the kernel, in lengths of a sample.
    """

    rows: Tensor
    coefficients: Tensor
    bias: Tensor

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        rounds: Count,
        ridge: Positive,
        matching: NonNegative,
        smoothness: NonNegative,
        neighbours: Count,
        width: Positive,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, classifier="1nn", **base)
        self.rounds = rounds
        self.ridge = ridge
        self.matching = matching
        self.smoothness = smoothness
        self.neighbours = neighbours
        self.width = width

    def embed(self, x: Float[Tensor, "rows d"], *, source: bool) -> Float[Tensor, "rows e"]:
        """Samples of one side before they are brought to length 1: as they are."""
        return x

    def transform(self, x: Float[Tensor, "rows d"], *, source: bool) -> Float[Tensor, "rows e"]:
        return normalize(self.embed(x, source=source))

    def kernel(
        self, x: Float[Tensor, "rows e"], reference: Float[Tensor, "n e"]
    ) -> Float[Tensor, "rows n"]:
        """Gaussian kernel of samples of length 1."""
        return torch.exp((x @ reference.T - 1) / self.width**2)

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        raw = {role: side.features.double() for role, side in outputs.items()}
        self.keep(self.solve(raw["source"], outputs["source"].y, raw["target"]))
        roles = [role for role in ("source", "target_labelled", "target") if role in raw]
        labelled = torch.cat([outputs[role].y for role in roles[:-1]])
        embedded = torch.cat([self.embed(raw[role], source=role == "source") for role in roles])
        rows = normalize(embedded)
        known = torch.arange(len(rows), device=rows.device) < len(labelled)
        nearest = (rows[known] @ rows[~known].T).argmax(0)
        pseudo_labels = labelled[nearest]
        bias = rows.new_full((len(self.task.classes),), FAR)
        bias[torch.unique(labelled)] = 0.0
        self.keep({"rows": rows, "bias": bias})
        gram = self.kernel(rows, rows)
        graph = neighbour_laplacian(rows, self.neighbours) * self.smoothness
        for _ in range(self.rounds):
            labels = torch.cat([labelled, pseudo_labels])
            differences = self.differences(embedded, labels, len(raw["source"]))
            solved = self.fit(gram, graph, differences, labels, known)
            self.keep({"coefficients": solved})
            pseudo_labels = self.judge(rows[~known]).argmax(1)

    def differences(
        self, rows: Float[Tensor, "rows e"], labels: Int[Tensor, " rows"], sources: int
    ) -> Float[Tensor, "rows columns"]:
        """Root of M: its columns' products; rows are embedded, and of any length."""
        classes = len(self.task.classes)
        means = difference_of_means(rows[:sources], rows[sources:]) * classes**0.5
        e = torch.cat([means, class_differences(labels[:sources], labels[sources:], classes)], 1)
        root: Tensor = e / torch.linalg.matrix_norm(e.T @ e).sqrt()
        return root

    def fit(
        self,
        gram: Float[Tensor, "rows rows"],
        graph: Float[Tensor, "rows rows"],
        differences: Float[Tensor, "rows columns"],
        labels: Int[Tensor, " rows"],
        known: Bool[Tensor, " rows"],
    ) -> Float[Tensor, "rows k"]:
        """Coefficients of the kernel machine, by the labels of the round before."""
        weights = graph + self.matching * differences @ differences.T
        weights.diagonal().add_(known.to(weights))
        system = weights @ gram
        system.diagonal().add_(self.ridge)
        answers = one_hot(labels, len(self.task.classes)).to(gram) * known[:, None]
        solved: Tensor = torch.linalg.solve(system, answers)
        return solved

    def judge(self, z: Float[Tensor, "rows e"]) -> Float[Tensor, "rows k"]:
        return self.kernel(z, self.rows) @ self.coefficients + self.bias


def neighbour_laplacian(
    rows: Float[Tensor, "rows e"], neighbours: int
) -> Float[Tensor, "rows rows"]:
    r"""Normalised Laplacian :math:`I - D^{-1/2} W D^{-1/2}` of the graph of nearest neighbours.

    Args:
        rows: samples of length 1; an edge weighs their cosine, if that is above 0.
        neighbours: of each sample, beside itself; an edge is there if either has the other.
    """
    cosines = rows @ rows.T
    cosines.fill_diagonal_(1.0)
    near = cosines.topk(min(neighbours + 1, len(rows)), dim=1)
    edges = torch.zeros_like(cosines).scatter_(1, near.indices, near.values.clamp_min(0))
    edges = torch.maximum(edges, edges.T)
    scale = edges.sum(1).rsqrt()
    laplacian = -scale[:, None] * edges * scale
    laplacian.diagonal().add_(1.0)
    return laplacian
