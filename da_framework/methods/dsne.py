"""Classes of the source told apart around every labelled target sample."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from torch.nn.functional import normalize

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import NonNegative, Positive
from da_framework.losses.labelled_pairs import neighborhood_margin
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class DSNE(Method):
    r"""Stochastic neighborhood embedding (d-SNE): few target labels have their class nearest.

    .. math::
        \min_{f,\, c} \; L_y + \frac{w}{m} \sum_j \max \left( 0, \; \gamma +
        \max_{i: y_i = y_j} d_{ij}^2 - \min_{i: y_i \ne y_j} d_{ij}^2 \right),
        \qquad d_{ij} = \left\lVert \frac{f(s_i)}{\lVert f(s_i) \rVert} -
        \frac{f(t_j)}{\lVert f(t_j) \rVert} \right\rVert

    Of a labelled target sample's own class, the farthest source sample is to be nearer than the
    nearest of all other classes, by a margin. :math:`L_y` is the joint loss of both domains;
    unlabelled target samples are not seen: this is the paper's supervised form.

    Xu et al., "d-SNE: Domain Adaptation Using Stochastic Neighborhood Embedding", CVPR 2019.
    https://arxiv.org/abs/1905.12775
    Features are taken at length 1, as the authors' commands for digits do (``--fn``).

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w; the authors' commands for digits have α = .25 to .75 beside 1 - α: 1/3 to 3.
        margin: γ, of squared distances between 0 and 4; 1 is the authors' code's.
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
        value = neighborhood_margin(
            normalize(source.features),
            normalize(target.features),
            y_source=source.y,
            y_target=target.y,
            margin=self.margin,
        )
        return {"neighborhood": Term(value, self.weight)}
