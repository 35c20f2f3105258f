"""Consistency with a moving average of the network."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from jaxtyping import Float, Int, Num
from torch import Tensor

from da_framework.core.batch import Objective, Outputs, Task, Term
from da_framework.core.types import NonNegative, Share
from da_framework.losses.consistency import squared_difference
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.frozen import Averaged
from da_framework.networks.network import Network


class MeanTeacher(Method):
    r"""Mean teacher: a student learns on distorted target samples from its own average over time.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + \frac{w}{m} \sum_i \mathbb 1[\max_k q_{ik} \ge \tau]
        \frac1k \lVert p(\mathcal A(t_i)) - q(t_i) \rVert^2, \qquad
        \bar\theta \leftarrow \beta \bar\theta + (1 - \beta) \theta

    q is the teacher, of weights :math:`\bar\theta`, which is also what is evaluated;
    :math:`\mathcal A` is the distortion that ``dataset.strong`` names.

    French, Mackiewicz, Fisher, "Self-ensembling for visual domain adaptation", ICLR 2018,
    section 3, after Tarvainen, Valpola, "Mean teachers are better role models", NeurIPS 2017.
    https://arxiv.org/abs/1706.05208
    Departures: the teacher sees the sample as it is, by the student's running batch-norm
    statistics, where the paper augments it as well and takes its batch's; no class-balance loss.

    Args:
        network: encoder and head: the student.
        task: classes, domains and samples.
        weight: w; 3 is the paper's.
        threshold: τ; .968 is the paper's.
        keep: β; .99 is the paper's.
    """

    roles: ClassVar = ("source", "target", "target_strong")
    exempt_from: ClassVar = {
        "terms_learn_from_what_they_read": "what the teacher sees is learnt by the student alone"
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        threshold: Share,
        keep: Share,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.teacher = Averaged(network)
        self.weight = weight
        self.threshold = threshold
        self.keep = keep

    @property
    def predictor(self) -> Network:
        average: Network = self.teacher.module
        return average

    def forward(
        self, x: Num[Tensor, "rows ..."], domain: Int[Tensor, " rows"] | None = None
    ) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows k"]]:
        features, logits = self.teacher(x, domain)
        return features, logits

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        target = outputs["target"]
        _, taught = self.teacher(target.x, target.domain)
        strong = outputs["target_strong"].logits
        value = squared_difference(strong, taught, threshold=self.threshold)
        return {"consistency": Term(value, self.weight)}

    def updated(self, objective: Objective) -> None:
        self.teacher.follow(self.network, keep=self.keep)
