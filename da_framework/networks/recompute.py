"""Activations that are computed again rather than kept: time for memory."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from math import isqrt
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from da_framework.core.errors import InputError
from da_framework.networks.domain_norm import DomainNorm


def recompute(backbone: nn.Module, stages: Sequence[nn.Module]) -> None:
    """Has a backbone keep what goes into its blocks alone; the backward pass computes the rest.

    A block is a stage of several layers. Where the stages of a row are single layers, it is cut
    into runs of them, about as many as a run has layers.

    Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
    https://arxiv.org/abs/1604.06174

    Args:
        backbone: whose layers stay what and where they are.
        stages: its parts that have weights.

    Raises:
        InputError: there is nothing in it that could be computed apart.
    """
    blocks = [stage for stage in stages if any(True for _ in stage.children())]
    composed = {id(block) for block in blocks}
    single = {id(stage) for stage in stages} - composed
    rows = []
    for module in backbone.modules():
        children = {id(child) for child in module.children()}
        plain = type(module).forward is nn.Sequential.forward
        if plain and len(children & single) > 1 and not children & composed:
            rows.append(module)
    if not blocks and not rows:
        raise InputError(
            "network.recompute=true: the backbone has no blocks or rows of layers, which could be "
            "computed again one after the other"
        )
    for block in blocks:
        block.forward = MethodType(_block, block)  # a method, so that a copy calls its own
    for row in rows:
        row.forward = MethodType(_row, row)


def _block(block: nn.Module, *inputs: Any, **keys: Any) -> Any:
    return _checkpointed(partial(type(block).forward, block), [block], *inputs, **keys)


def _row(row: nn.Sequential, x: Tensor) -> Tensor:
    for run in _runs(row):
        x = _checkpointed(nn.Sequential(*run), run, x)
    return x


def _runs(layers: nn.Sequential) -> list[list[nn.Module]]:
    """Layers cut into runs; none begins with one that changes its input in place."""
    runs: list[list[nn.Module]] = []
    for layer in layers:
        enough = not runs or len(runs[-1]) >= isqrt(len(layers))
        if enough and not (runs and getattr(layer, "inplace", False)):
            runs.append([])
        runs[-1].append(layer)
    return runs


def _checkpointed(
    call: Callable[..., Any], parts: Sequence[nn.Module], *inputs: Any, **keys: Any
) -> Any:
    """What a call makes of inputs; of what is in between, nothing is kept."""
    if not torch.is_grad_enabled():
        return call(*inputs, **keys)
    versions = [_version(x) for x in inputs]
    outputs = checkpoint(
        call,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _Repeated(parts)),
        **keys,
    )
    if versions != [_version(x) for x in inputs]:
        raise InputError(
            f"network.recompute=true: {type(parts[0]).__name__} changes its input in place, of "
            "which nothing can be computed again"
        )
    return outputs


def _version(x: Any) -> int | None:
    return x._version if isinstance(x, Tensor) else None


class _Repeated:
    """A call that is as it was the first time: modes, domains, and no statistics taken twice.

    Args:
        parts: that are called.
    """

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        modules = [module for part in parts for module in part.modules()]
        self.norms = [m for m in modules if isinstance(m, _BatchNorm)]
        self.statistics = [dict(norm._buffers) for norm in self.norms]
        self.modes = [(module, module.training) for module in modules]
        self.domains = [(m, m.domain) for m in modules if isinstance(m, DomainNorm)]

    def __enter__(self) -> None:
        self.present = [(module, module.training) for module, _ in self.modes]
        for module, training in self.modes:
            module.training = training
        for module, domain in self.domains:
            module.domain = domain
        for norm, statistics in zip(self.norms, self.statistics, strict=True):
            # copies are changed; without any, other tensors than the first time would be kept
            copies = {n: None if x is None else x.clone() for n, x in statistics.items()}
            norm._buffers.update(copies)

    def __exit__(self, *error: object) -> None:
        for module, training in self.present:
            module.training = training
        for module, _ in self.domains:
            module.domain = None
        for norm, statistics in zip(self.norms, self.statistics, strict=True):
            norm._buffers.update(statistics)
