"""Batch normalization with the statistics of each domain."""

from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

NetworkType = TypeVar("NetworkType", bound=nn.Module)


class DomainNorm(nn.Module):
    r"""Domain-specific batch norm: mean and variance of each sample's domain, one scale and shift.

    .. math:: \hat x = \gamma \, \frac{x - \mu_{d}}{\sqrt{\sigma_{d}^2 + \epsilon}} + \beta

    Li et al., "Revisiting Batch Normalization For Practical Domain Adaptation", 2016, algorithm 1.
    https://arxiv.org/abs/1603.04779

    Args:
        norm: the batch norm that it replaces.
        domains: how many there are; the last is the target where no domain is named.
    """

    def __init__(self, norm: _BatchNorm, domains: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([deepcopy(norm) for _ in range(domains)])
        for other in list(self.norms)[1:]:
            # one scale and one shift for all
            other.weight, other.bias = self.norms[0].weight, self.norms[0].bias
        self.domain: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalises each sample by its domain's statistics, in training those of this batch."""
        if self.domain is None:
            return self.norms[-1](x)  # type: ignore[no-any-return]
        normed = torch.empty_like(x)
        for number in torch.unique(self.domain).tolist():
            rows = self.domain == number
            normed[rows] = self.norms[number](x[rows]).to(normed.dtype)
        return normed


def convert_domain_batchnorm(network: NetworkType, domains: int) -> NetworkType:
    """Replaces every batch norm of a network by a ``DomainNorm``.

    The network learns the samples' domains from its second argument. One that is converted already
    stays as it is.

    Args:
        network: changed in place, and given back.
        domains: how many there are.
    """
    if any(isinstance(module, DomainNorm) for module in network.modules()):
        return network
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(module, name, DomainNorm(child, domains))
    network.register_forward_pre_hook(_set_domains)
    network.register_forward_hook(_clear_domains)
    return network


def has_batchnorm(network: nn.Module) -> bool:
    """Whether a network has batch norm, converted or not."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


def _set_domains(network: nn.Module, inputs: tuple[Any, ...]) -> None:
    for module in network.modules():
        if isinstance(module, DomainNorm):
            module.domain = inputs[1] if len(inputs) > 1 else None


def _clear_domains(network: nn.Module, *_: Any) -> None:
    for module in network.modules():
        if isinstance(module, DomainNorm):
            module.domain = None
