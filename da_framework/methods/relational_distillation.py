"""How samples lie to one another, as former networks see them."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch

from da_framework.core.batch import Outputs, Task, Term, as_input
from da_framework.core.types import Count, NonNegative
from da_framework.losses.distillation import angles, relative_distances
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class RelationalDistillation(Method):
    r"""Relational knowledge distillation: features keep the teachers' distances and angles.

    .. math:: L_y + \frac1T \sum_t \big( w_d \, \ell_d(f, f^t) + w_a \, \ell_a(f, f^t) \big)

    on samples of the target: relations pass between networks of any width and any classes.

    Park, Kim, Lu, Cho, "Relational Knowledge Distillation", CVPR 2019.
    https://arxiv.org/abs/1904.05068

    Args:
        network: encoder and head.
        task: classes, domains and samples; its teachers are compared with.
        weight: :math:`w_d` of the distances; 25 is the paper's for classification.
        angle_weight: :math:`w_a` of the angles; 50 there.
        rows: of a batch, the first, that angles are taken among: their cost is cubic.
    """

    roles: ClassVar = ("target",)
    optional: ClassVar = ("source", "target_labelled")
    needs_teachers: ClassVar = True
    needs_raw_inputs: ClassVar = True
    exempt_from: ClassVar[Mapping[str, str]] = {
        "nothing_at_weight_zero": "at weight 0 of the distances the angles are still there"
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        angle_weight: NonNegative,
        rows: Count,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight
        self.angle_weight = angle_weight
        self.rows = rows

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        sides = [outputs[role] for role in ("target", "target_labelled") if role in outputs]
        x = torch.cat([as_input(side.x) for side in sides])
        features = torch.cat([side.features for side in sides])
        taught = [teacher.to(x.device)(x)[0] for teacher in self.task.teachers]
        first = slice(self.rows)
        distance = torch.stack([relative_distances(features, t) for t in taught]).mean()
        angle = torch.stack([angles(features[first], t[first]) for t in taught]).mean()
        return {
            "distances": Term(distance, self.weight),
            "angles": Term(angle, self.angle_weight),
        }
