"""Joint distribution adaptation."""

from collections.abc import Mapping
from typing import Literal, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from da_framework.core.batch import Task
from da_framework.core.types import Count, Positive
from da_framework.methods.base import MethodKeys
from da_framework.methods.tca import TCA, difference_of_means
from da_framework.networks.network import Network


class JDA(TCA):
    r"""Joint distribution adaptation: transfer components that match each class by pseudo-labels.

    .. math::
        M = M_0 + \sum_{c=1}^{C} M_c, \qquad M_c = e_c e_c^\top

    :math:`e_c` is 1 over their number on the source's samples of class c, and minus that on the
    target's samples that the classifier, after the round before, puts in it.

    Long, Wang, Ding, Sun, Yu, "Transfer Feature Learning with Joint Distribution Adaptation",
    ICCV 2013. https://doi.org/10.1109/ICCV.2013.274
    As in the authors' code, :math:`M_0` counts C times and M is divided by its norm; the rest is
    ``TCA``. So it gives the paper's table in every digit (``experiments/jda_2013``).

    Args:
        network: encoder; its head is not used.
        task: classes, domains and samples.
        rounds: of projecting and labelling anew; 10 is the paper's.
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
            components=components,
            ridge=ridge,
            kernel=kernel,
            normalize_features=normalize_features,
            normalize_projection=normalize_projection,
            classifier=classifier,
            **base,
        )
        self.rounds = rounds

    def solve(
        self, source: Float[Tensor, "n d"], y: Int[Tensor, " n"], target: Float[Tensor, "m d"]
    ) -> Mapping[str, Tensor]:
        k = self.lift_training(source, target)
        pseudo_labels: Tensor | None = None  # the first round has none
        for _ in range(self.rounds):
            self.keep(self.fit_round(k, source, y, target, pseudo_labels))
            self.keep(self.learn(self.transform(source, source=True), y))
            pseudo_labels = self.judge(self.transform(target, source=False)).argmax(1)
        return {}

    def fit_round(
        self,
        k: Float[Tensor, "rows r"],
        source: Float[Tensor, "n d"],
        y: Int[Tensor, " n"],
        target: Float[Tensor, "m d"],
        pseudo_labels: Int[Tensor, " m"] | None,
    ) -> Mapping[str, Tensor]:
        """Components of a round, by the labels that the round before gave the target."""
        classes = len(self.task.classes)
        differences = difference_of_means(source, target) * classes**0.5
        if pseudo_labels is not None:
            differences = torch.cat([differences, class_differences(y, pseudo_labels, classes)], 1)
        return self.fit_components(k, differences)


def class_differences(
    y: Int[Tensor, " n"], pseudo_labels: Int[Tensor, " m"], classes: int
) -> Float[Tensor, "rows k"]:
    """A column a class: one over their number on the source's samples, minus that on the target's.

    A class without samples in one of the domains has zeros there.
    """
    shares = [_class_shares(labels, classes) for labels in (y, pseudo_labels)]
    return torch.cat([shares[0], -shares[1]])


def _class_shares(y: Int[Tensor, " rows"], classes: int) -> Float[Tensor, "rows k"]:
    """One over the rows of its class in each row's own column."""
    rows = one_hot(y, classes).double()
    return rows / rows.sum(0).clamp_min(1)
