"""Batch normalization by the statistics of the batch at hand, mixed with those of training."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from da_framework.core.errors import InputError
from da_framework.core.types import NonNegative, Share


class StreamNorm(nn.Module):
    r"""Batch norm of a network in use: statistics of this batch, and of training as a prior.

    .. math::
        \mu = \frac{N \mu_s + n \mu_b}{N + n}, \qquad
        \sigma^2 = \frac{N \sigma_s^2 + n \sigma_b^2}{N + n}

    for a batch of n samples. N = 0 replaces the statistics of training (s), a large N keeps them.
    Schneider, Rusak, Eck, Bringmann, Brendel, Bethge, "Improving robustness against common
    corruptions by covariate shift adaptation", NeurIPS 2020, eq. 3.
    https://arxiv.org/abs/2006.16971

    Where a batch has one value a channel, there is no variance: statistics of training are used.

    Args:
        norm: the batch norm that it replaces; scale and shift are the same tensors.
        prior: N, in samples.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, norm: _BatchNorm, prior: NonNegative) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        self.weight, self.bias, self.eps, self.prior = norm.weight, norm.bias, norm.eps, prior
        self.register_buffer("mean", norm.running_mean.clone())
        self.register_buffer("var", norm.running_var.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Normalises a batch, alike in training and in evaluation mode."""
        if x.numel() == x.shape[1]:
            return batch_norm(x, self.mean, self.var, self.weight, self.bias, eps=self.eps)
        if self.prior == 0:
            return batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        var, mean = torch.var_mean(x, [0, *range(2, x.dim())], correction=0)
        share = self.prior / (self.prior + len(x))
        # by hand: torch's has no gradient through statistics that it is given
        return scale_and_shift(
            x,
            torch.lerp(mean, self.mean, share),
            torch.lerp(var, self.var, share),
            *(self.weight, self.bias, self.eps),
        )


class RobustNorm(nn.Module):
    r"""Batch norm whose statistics follow those of what is learnt from, a little at a time.

    .. math:: \mu \leftarrow (1 - \alpha) \mu + \alpha \mu_b, \qquad
        \sigma^2 \leftarrow (1 - \alpha) \sigma^2 + \alpha \sigma_b^2

    In training mode a batch moves the statistics and is normalised by what they then are; in
    evaluation mode they are used as they are. Yuan, Xie, Li, "Robust Test-Time Adaptation in
    Dynamic Scenarios", CVPR 2023, eq. 1-2. https://arxiv.org/abs/2303.13899

    Args:
        norm: the batch norm that it replaces; scale and shift are the same tensors.
        alpha: α, the share of a batch.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, norm: _BatchNorm, alpha: Share) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        self.weight, self.bias, self.eps, self.alpha = norm.weight, norm.bias, norm.eps, alpha
        self.register_buffer("mean", norm.running_mean.clone())
        self.register_buffer("var", norm.running_var.clone())
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """Normalises a batch; in training mode the statistics move first."""
        if not self.training or x.numel() == x.shape[1]:
            return batch_norm(x, self.mean, self.var, self.weight, self.bias, eps=self.eps)
        var, mean = torch.var_mean(x, [0, *range(2, x.dim())], correction=0)
        mean, var = torch.lerp(self.mean, mean, self.alpha), torch.lerp(self.var, var, self.alpha)
        self.mean, self.var = mean.detach(), var.detach()
        return scale_and_shift(x, mean, var, self.weight, self.bias, self.eps)


def scale_and_shift(
    x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """What batch norm does with statistics, with gradients through them."""
    shape = [1, -1, *[1] * (x.dim() - 2)]
    factor = (var + eps).rsqrt()
    factor = factor if weight is None else factor * weight
    shift = -mean * factor if bias is None else bias - mean * factor
    return x * factor.view(shape) + shift.view(shape)


def replace_batch_norm(
    network: nn.Module, make: type[StreamNorm] | type[RobustNorm], setting: float
) -> None:
    """Puts another module into the place of every batch norm that has statistics of training.

    Args:
        network: changed in place.
        make: given the batch norm and the setting.
        setting: of all of them.

    Raises:
        InputError: the network has none.
    """
    replaced = 0
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm) and child.running_mean is not None:
                setattr(module, name, make(child, setting))
                replaced += 1
    if not replaced:
        raise InputError(
            "the stream method works on the statistics of batch norm, and the run's network has "
            "none; network=convnet has it, and network=mlp network.backbone.batch_norm=true; "
            "stream_method=lame, t3a, shot_online and memo do without"
        )


def affine_parameters(network: nn.Module) -> Iterator[nn.Parameter]:
    """Scales and shifts of all normalisation layers, each once."""
    kinds = (
        *(StreamNorm, RobustNorm, _BatchNorm, _InstanceNorm),
        *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
    )
    seen: set[int] = set()
    for module in network.modules():
        if not isinstance(module, kinds):
            continue
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield parameter
