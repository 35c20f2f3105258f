"""What former networks say of the target's samples."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term, as_input
from da_framework.core.errors import InputError
from da_framework.core.types import NonNegative, Positive
from da_framework.losses.distillation import distillation
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class Distillation(Method):
    r"""Knowledge distillation: a network learns from several frozen ones, and from labels if any.

    .. math:: L_y + w \, T^2 L \Big( \sum_t a_t \, p_T(z^t), \; p_T(z) \Big), \qquad
        \sum_t a_t = 1

    over all rows of the target, at temperature T; :math:`z^t` are the logits of a teacher, which
    is the network of a former run (``teachers``).

    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015.
    https://arxiv.org/abs/1503.02531

    Args:
        network: encoder and head.
        task: classes, domains and samples; its teachers have the same classes.
        weight: w.
        temperature: T.
        shares: a, before they are brought to sum 1; ``None``: all the same.
    """

    roles: ClassVar = ("target",)
    optional: ClassVar = ("source", "target_labelled")
    needs_teachers: ClassVar = True
    needs_raw_inputs: ClassVar = True

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        weight: NonNegative,
        temperature: Positive,
        shares: list[Positive] | None,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight
        self.temperature = temperature
        self.shares = tuple(shares or [1.0] * len(task.teachers))
        if task.teachers and len(self.shares) != len(task.teachers):
            raise InputError(
                f"method.shares has {len(self.shares)} numbers for {len(task.teachers)} teachers"
            )
        for teacher in task.teachers:
            if (classes := teacher.module.classes) != network.classes:
                raise InputError(
                    f"teachers: one has {classes} classes, this network {network.classes}; "
                    "method=relational_distillation compares features instead"
                )

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        sides = [outputs[role] for role in ("target", "target_labelled") if role in outputs]
        x = torch.cat([as_input(side.x) for side in sides])
        logits = torch.cat([side.logits for side in sides])
        value = distillation(logits, probabilities=self.teach(x), temperature=self.temperature)
        return {"teachers": Term(value, self.weight)}

    def teach(self, x: Tensor) -> Tensor:
        """The teachers' mean prediction."""
        weighted = [
            share * (teacher.to(x.device)(x)[1] / self.temperature).softmax(1)
            for share, teacher in zip(self.shares, self.task.teachers, strict=True)
        ]
        return torch.stack(weighted).sum(0) / sum(self.shares)
