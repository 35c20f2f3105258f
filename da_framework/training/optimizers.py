"""What turns gradients into steps: torch's optimizers, with learning-rate factors and clipping."""

import logging
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache, partial
from typing import Annotated, Any, TypedDict, Unpack

import torch
from pydantic import Field
from torch import nn

from da_framework.core.errors import InputError, one_line
from da_framework.core.types import Fraction, NonNegative, Positive

log = logging.getLogger(__name__)


class OptimizerKeys(TypedDict, total=False):
    """The keys every optimizer has.

    Attributes:
        factor: learning-rate factor by parameter-name prefix, the longest match counts:
            ``{network.encoder.backbone: 0.1}``; a backbone that begins with weights has
            ``network.backbone_factor`` where no prefix matches.
        clip: largest gradient norm of a part; ``None`` does not clip.
    """

    factor: dict[str, NonNegative] | None
    clip: Positive | None


class Optimizer:
    """Makes one torch optimizer for each part of a method.

    Args:
        algorithm: makes it from parameter groups.
        factor: learning-rate factor by parameter-name prefix.
        clip: largest gradient norm of a part.
    """

    def __init__(
        self,
        algorithm: Callable[[Any], torch.optim.Optimizer],
        *,
        factor: Mapping[str, float] | None = None,
        clip: float | None = None,
    ) -> None:
        self.algorithm = algorithm
        self.factor = dict(factor or {})
        self.clip = clip

    def build(
        self, method: nn.Module, part: str, modules: list[nn.Module]
    ) -> torch.optim.Optimizer:
        """An optimizer over what is trainable in a part of a method.

        Raises:
            InputError: nothing is, or torch refuses the settings.
        """
        names = {id(parameter): name for name, parameter in method.named_parameters()}
        groups: dict[float, list[nn.Parameter]] = {}
        usual = getattr(getattr(method, "network", None), "backbone_factor", 1.0)
        for parameter in nn.ModuleList(modules).parameters():
            if parameter.requires_grad:
                groups.setdefault(self._factor(names[id(parameter)], usual), []).append(parameter)
        if not groups:
            raise InputError(f"{type(method).__name__}: nothing in the part {part} can be trained")
        try:
            optimizer = self.algorithm([{"params": group} for group in groups.values()])
        except ValueError as error:
            raise InputError(f"optimizer: {one_line(error)}") from error
        for group, factor in zip(optimizer.param_groups, groups, strict=True):
            # the schedule works on this; kept in the group, it is saved with it
            group["initial_lr"] = group["lr"] * factor
        return optimizer

    def check(self, method: nn.Module) -> None:
        """Refuses a prefix that no parameter has."""
        names = [name for name, _ in method.named_parameters()]
        prefixes = {".".join(n.split(".")[:i]) for n in names for i in range(1, n.count(".") + 2)}
        for prefix in self.factor:
            if prefix not in prefixes:
                near = get_close_matches(prefix, sorted(prefixes), n=3, cutoff=0.3)
                raise InputError(
                    f"optimizer.factor: no parameter begins with {prefix!r}; "
                    f"nearest: {', '.join(near or sorted(prefixes)[:3])}"
                )

    def _factor(self, name: str, backbone: float) -> float:
        matching = [p for p in self.factor if name == p or name.startswith(f"{p}.")]
        if matching:
            return self.factor[max(matching, key=len)]
        return backbone if name.startswith("network.encoder.backbone.") else 1.0


def sgd(
    *,
    lr: Positive,
    momentum: Fraction,
    weight_decay: NonNegative,
    nesterov: bool,
    **base: Unpack[OptimizerKeys],
) -> Optimizer:
    """Stochastic gradient descent with momentum."""
    keys = {"momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
    return Optimizer(partial(make_sgd, lr=lr, **keys), **base)


def make_sgd(groups: Any, *, momentum: float, **keys: Any) -> torch.optim.Optimizer:
    """SGD of torch, with a buffer of momentum for every parameter from the start."""
    optimizer = torch.optim.SGD(groups, momentum=momentum, fused=True, **keys)
    for group in optimizer.param_groups if momentum else ():
        for parameter in group["params"]:
            # a first step that fp16's scaler skips would leave it whatever memory held
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def adam(
    *,
    lr: Positive,
    betas: Annotated[list[Fraction], Field(min_length=2, max_length=2)],
    weight_decay: NonNegative,
    **base: Unpack[OptimizerKeys],
) -> Optimizer:
    r"""Adam: steps in units of the gradient's own size, its weight decay part of the gradient.

    Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    https://arxiv.org/abs/1412.6980

    Args:
        lr: learning rate.
        betas: of the running means of the gradient and of its square.
        weight_decay: of the squared norm of the weights, halved, which is added to the loss.
        base: the keys every optimizer has.
    """
    if weight_decay:
        say_that_adam_was_adamw()
    algorithm = partial(torch.optim.Adam, lr=lr, betas=(betas[0], betas[1]), fused=True)
    return Optimizer(partial(algorithm, weight_decay=weight_decay), **base)


def adamw(
    *,
    lr: Positive,
    betas: Annotated[list[Fraction], Field(min_length=2, max_length=2)],
    weight_decay: NonNegative,
    **base: Unpack[OptimizerKeys],
) -> Optimizer:
    """AdamW: Adam with its weight decay apart from the gradient.

    Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    https://arxiv.org/abs/1711.05101

    Args:
        lr: learning rate.
        betas: of the running means of the gradient and of its square.
        weight_decay: share of a weight, times the learning rate, that a step takes away.
        base: the keys every optimizer has.
    """
    algorithm = partial(torch.optim.AdamW, lr=lr, betas=(betas[0], betas[1]), fused=True)
    return Optimizer(partial(algorithm, weight_decay=weight_decay), **base)


def adagrad(
    *, lr: Positive, lr_decay: NonNegative, weight_decay: NonNegative, **base: Unpack[OptimizerKeys]
) -> Optimizer:
    """Adagrad: steps that are the smaller, the more gradient a weight has had.

    Duchi, Hazan, Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", JMLR 2011. https://jmlr.org/papers/v12/duchi11a.html

    Args:
        lr: learning rate, divided by the root of the sum of a weight's squared gradients.
        lr_decay: by how much a step adds to what the learning rate is divided by, from 1 on.
        weight_decay: of the squared norm of the weights, halved, which is added to the loss.
        base: the keys every optimizer has.
    """
    algorithm = partial(torch.optim.Adagrad, lr=lr, lr_decay=lr_decay)
    return Optimizer(partial(algorithm, weight_decay=weight_decay), **base)


def adadelta(
    *, lr: Positive, rho: Fraction, weight_decay: NonNegative, **base: Unpack[OptimizerKeys]
) -> Optimizer:
    """Adadelta: steps of the size of the steps before, whatever the size of the gradient.

    Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012. https://arxiv.org/abs/1212.5701

    Args:
        lr: factor on a step; 1 is the paper's.
        rho: decay of the running means of a weight's squared gradients and squared steps.
        weight_decay: of the squared norm of the weights, halved, which is added to the loss.
        base: the keys every optimizer has.
    """
    algorithm = partial(torch.optim.Adadelta, lr=lr, rho=rho)
    return Optimizer(partial(algorithm, weight_decay=weight_decay), **base)


@cache
def say_that_adam_was_adamw() -> None:
    """Says once what the name stood for until version 0.2."""
    log.warning(
        "optimizer=adam is Adam, whose weight decay is part of the gradient; until version 0.2 "
        "it was AdamW, which is now optimizer=adamw"
    )
