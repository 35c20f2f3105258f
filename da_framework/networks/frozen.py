"""Networks that no gradient trains: teachers, anchors, moving averages."""

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from da_framework.core.types import Share


class Frozen(nn.Module):
    """A copy of a module as it is now; always in evaluation mode, never trained.

    Args:
        module: what is copied.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module: Any = deepcopy(module).requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "Frozen":
        """Stays in evaluation mode whatever is asked."""
        super().train(False)
        return self

    def forward(self, *inputs: Any) -> Any:
        """What the copy makes of the inputs, without gradient."""
        with torch.no_grad():
            return self.module(*inputs)


class Averaged(Frozen):
    r"""An exponential moving average of a module's weights, beginning at its own.

    .. math:: \bar\theta \leftarrow \beta \bar\theta + (1 - \beta) \theta

    Buffers, such as the statistics of batch norm, are copied. Tarvainen, Valpola, "Mean teachers
    are better role models", NeurIPS 2017, eq. 2. https://arxiv.org/abs/1703.01780
    """

    @torch.no_grad()
    def follow(self, module: nn.Module, *, keep: Share) -> None:
        """Moves towards a module.

        Args:
            module: of the same kind.
            keep: β, the share of the average that is kept.
        """
        for averaged, latest in zip(self.module.parameters(), module.parameters(), strict=True):
            averaged.lerp_(latest, 1 - keep)
        for buffer, other_buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            buffer.copy_(other_buffer)


class RunningMean(Frozen):
    r"""The mean of a module's weights over the steps at which they were added.

    .. math:: \bar\theta \leftarrow \bar\theta + \frac{1}{n} (\theta - \bar\theta)

    Buffers that are no whole numbers, such as the statistics of batch norm, are averaged alike.
    Before anything is added it is the module as it was.

    Attributes:
        count: n, how many were added.
    """

    count: torch.Tensor

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def add(self, module: nn.Module) -> None:
        """One more.

        Args:
            module: of the same kind.
        """
        self.count += 1
        latest = module.state_dict()
        for name, mean in self.module.state_dict().items():
            if mean.is_floating_point():
                mean += (latest[name] - mean) / self.count
            else:
                mean.copy_(latest[name])
