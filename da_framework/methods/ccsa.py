"""Alignment of classes by pairs of a source and a labelled target sample."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import NonNegative, Positive
from da_framework.losses.labelled_pairs import contrastive_semantic_alignment
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class CCSA(Method):
    r"""Classification and contrastive semantic alignment (CCSA): labelled pairs of a class meet.

    .. math::
        \min_{f,\, c} \; L_y + w \left( \overline{\tfrac12 d_{ij}^2}_{\;y_i = y_j} +
        \overline{\tfrac12 \max(0, m - d_{ij})^2}_{\;y_i \ne y_j} \right),
        \qquad d_{ij} = \lVert f(s_i) - f(t_j) \rVert

    A source sample and a labelled target sample of one class come together, those of two classes
    are kept a margin apart. :math:`L_y` is the joint loss of both; unlabelled target samples are
    not seen.

    Motiian et al., "Unified Deep Supervised Domain Adaptation and Generalization", ICCV 2017.
    https://arxiv.org/abs/1709.10190
    Departures: all pairs of a batch count, those of one class together as much as the others, where
    the authors' code draws three pairs of two classes for each of one; w stands beside a loss of
    weight 1, where the paper has γ and 1 - γ.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w; γ = .25 of the authors' code, which does not halve the squares, is 2/3; γ = .01,
            which the search of Hedegaard et al., 2020, found on digits, is .02.
        margin: m, in units of the features; 1 is the authors' code's.
    """

    roles: ClassVar = ("source", "target_labelled")
    optional: ClassVar = ()

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        margin: Positive,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight
        self.margin = margin

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        source, target = outputs["source"], outputs["target_labelled"]
        value = contrastive_semantic_alignment(
            source.features,
            target.features,
            y_source=source.y,
            y_target=target.y,
            margin=self.margin,
        )
        return {"alignment": Term(value, self.weight)}
