"""Frozen former networks whose features feed the new one."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from da_framework.core.batch import Batch, Outputs, Task, as_input
from da_framework.core.errors import InputError
from da_framework.core.types import Count
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class Progressive(Method):
    r"""Progressive networks: a head that also reads the features of frozen former networks.

    .. math:: z = c(f(x)) + \sum_t U_t \, \operatorname{ReLU}(V_t f^t(x))

    The former networks are external knowledge: they are never changed, and a new column learns
    beside them what they lack. Rusu et al., "Progressive Neural Networks", 2016, eq. 2.
    https://arxiv.org/abs/1606.04671
    Departure: lateral connections into the logits alone, as columns may be of any architecture.

    Args:
        network: encoder and head of the new column.
        task: classes, domains and samples; its teachers are the former columns.
        width: of the adapters V.
    """

    roles: ClassVar = ("target_labelled",)
    optional: ClassVar = ("source",)
    needs_teachers: ClassVar = True
    keeps_teachers: ClassVar = True
    needs_raw_inputs: ClassVar = True

    def __init__(
        self, network: Network, task: Task, *, width: Count, **base: Unpack[MethodKeys]
    ) -> None:
        super().__init__(network, task, **base)
        if not task.teachers:
            raise InputError("Progressive reads former networks, and their folders are not there")
        self.columns = nn.ModuleList(task.teachers)
        self.laterals = nn.ModuleList(
            nn.Sequential(
                nn.Linear(column.module.feature_dim, width),
                nn.ReLU(),
                nn.Linear(width, network.classes),
            )
            for column in task.teachers
        )

    def forward(
        self, x: Num[Tensor, "rows ..."], domain: Int[Tensor, " rows"] | None = None
    ) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows k"]]:
        features, logits = self.network(x, domain)
        return features, logits + self.lateral(x)

    def outputs(self, batch: Batch) -> Mapping[str, Outputs]:
        return {
            role: plain._replace(logits=plain.logits + self.lateral(as_input(plain.x)))
            for role, plain in super().outputs(batch).items()
        }

    def lateral(self, x: Num[Tensor, "rows ..."]) -> Float[Tensor, "rows k"]:
        """What the former columns add to the logits."""
        laterals = [
            adapter(column(x)[0].to(next(adapter.parameters())))
            for adapter, column in zip(self.laterals, self.columns, strict=True)
        ]
        return torch.stack(laterals).sum(0)
