"""The network of every method: an encoder that makes features, a head that makes logits."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from math import prod
from typing import TypedDict

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from da_framework.core.batch import MOST_NUMBERS
from da_framework.core.errors import InputError, listed, one_line
from da_framework.core.types import Count, Fraction
from da_framework.networks.adapter import Adapter
from da_framework.networks.domain_norm import DomainNorm
from da_framework.networks.mlp import dense
from da_framework.networks.recompute import recompute as compute_again


class RequiredNetworkKeys(TypedDict):
    """The keys of every network that must be given."""

    bottleneck: list[Count]
    head: list[Count]
    dropout: Fraction


class NetworkKeys(RequiredNetworkKeys, total=False):
    """The keys that every network has, besides those of its backbone; see ``Network``."""

    freeze: str | None
    adapter: Count | None
    recompute: bool
    batch_norm: bool


class Network(nn.Module):
    """Encoder (backbone, then bottleneck) and head.

    What methods align are the features: what the encoder puts out and the head reads. So an empty
    bottleneck and a deep head align early, a bottleneck and a linear head late.

    Args:
        shape: of one input.
        classes: number of logits.
        widths: columns of each domain, where they differ: an input adapter then brings them to one.
        backbone: makes the module that turns inputs of a shape into flat features.
        bottleneck: widths of the fully connected layers after it; none is allowed.
        head: widths of hidden layers before the logits; none makes it linear.
        dropout: after each layer of bottleneck and head.
        batch_norm: between each layer of the bottleneck and its nonlinearity.
        adapter: width of the input adapter, where there is one; ``None`` refuses such domains.
        freeze: what stays as it is, batch norm's statistics too: ``all`` of the encoder, or its
            stages up to the one of this name (``backbone``, ``backbone.0``, ...).
        recompute: whether the backward pass computes the backbone's activations once more, which
            are then not kept (gradient checkpointing).

    Attributes:
        loaded: names of the weights that a former run gave.
        backbone_factor: learning-rate factor of the backbone, where the optimizer has none for it.

    Raises:
        InputError: no stage has this name, there is no bottleneck to normalise, or nothing that
            could be computed again.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: int,
        widths: tuple[int, ...] = (),
        *,
        backbone: Callable[[tuple[int, ...]], nn.Module],
        bottleneck: list[Count],
        head: list[Count],
        dropout: Fraction,
        freeze: str | None = None,
        adapter: Count | None = None,
        recompute: bool = False,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.frozen: tuple[str, ...] = ()
        self.loaded: frozenset[str] = frozenset()
        self.backbone_factor = 1.0
        self._former_head: tuple[nn.Sequential, ...] = ()
        input_adapter = None
        if widths:
            if adapter is None:
                raise InputError(
                    f"the domains' rows have {listed(widths)} columns: network.adapter=256 brings "
                    "them to one width"
                )
            input_adapter = Adapter(widths, adapter)
        if batch_norm and not bottleneck:
            raise InputError("network.batch_norm=true: it needs a layer, network.bottleneck=[256]")
        given = (adapter,) if adapter and widths else shape
        body = backbone(given)
        width = _width(body, given)
        self.feature_dim = [width, *bottleneck][-1]
        narrowing = dense([width, *bottleneck], dropout, batch_norm)
        self.encoder = Encoder(shape, width, body, narrowing, input_adapter)
        self.classes = classes
        self._head = (list(head), dropout)
        self.head = self.another_head()
        if freeze is not None:
            self.freeze(self._up_to(freeze))
        if recompute:
            if self.backbone_frozen:
                raise InputError(
                    "network.recompute=true: of a frozen backbone nothing is kept as it is"
                )
            stages = self.stages().items()
            compute_again(body, [stage for name, stage in stages if name.startswith("backbone.")])

    def forward(
        self, x: Num[Tensor, "rows ..."], domain: Int[Tensor, " rows"] | None = None
    ) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows k"]]:
        """Features and logits, in the precision of the weights."""
        if x.is_floating_point():
            x = x.to(next(self.head.parameters()).dtype)
        features = self.encoder(x, domain)
        return features, self.head(features)

    def stages(self) -> dict[str, nn.Module]:
        """The encoder's parts that have weights, first to last.

        Of a backbone that stacks blocks, such as a residual network's layers, each is a stage.
        """
        return {
            f"{name}.{below}": stage
            for name, part in self.encoder.named_children()
            for below, stage in _stages(part, deep=name == "backbone")
        }

    def freeze(self, stages: tuple[str, ...]) -> None:
        """These stages stay as they are; all others learn."""
        self.frozen = stages
        backbone = self.encoder.backbone
        # what is in no stage, such as the embeddings of positions, comes before the first
        backbone.requires_grad_(not any(name.startswith("backbone.") for name in stages))
        for name, stage in self.stages().items():
            stage.requires_grad_(name not in stages)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Network":
        """Frozen stages stay in evaluation mode, whatever is asked."""
        super().train(mode)
        stages = self.stages() if self.frozen else {}
        for name in self.frozen:
            stages[name].eval()
        if self.backbone_frozen:
            self.encoder.backbone.eval()  # what has no weights, such as dropout, as well
        return self

    @property
    def backbone_frozen(self) -> bool:
        """Whether the backbone has weights and all of them stay."""
        stages = [name for name in self.stages() if name.startswith("backbone.")]
        return bool(stages) and set(stages) <= set(self.frozen)

    def _up_to(self, last: str) -> tuple[str, ...]:
        names = list(self.stages())
        if last == "all":
            return tuple(names)
        reached = [i for i, name in enumerate(names) if f"{name}.".startswith(f"{last}.")]
        if not reached:
            groups = dict.fromkeys(name.partition(".")[0] for name in names)
            raise InputError(
                f"network.freeze={last}: there is no such stage; "
                f"the stages are {listed(('all', *groups, *names))}"
            )
        return tuple(names[: reached[-1] + 1])

    def keep_former_head(self, state: dict[str, Tensor]) -> None:
        """Keeps the head of the run that this network begins with, beside its own."""
        head = self.another_head([*state.values()][-1].shape[0])
        try:
            head.load_state_dict(state)
        except RuntimeError:
            return  # of another kind; whoever asks for it is told
        self._former_head = (head,)  # in a tuple: it is no part of this network

    def former_head(self) -> nn.Sequential:
        """A copy of the head of the run that this network begins with.

        Raises:
            InputError: that was of another kind.
        """
        if any(name.startswith("head.") for name in self.loaded):
            return deepcopy(self.head)
        if not self._former_head:
            raise InputError("init_from: the run's head has other layers than network.head")
        return deepcopy(self._former_head[0])

    def another_head(self, classes: int | None = None) -> nn.Sequential:
        """A fresh head of the same kind, for methods of several.

        Args:
            classes: number of its logits; as many as the network's own if ``None``.
        """
        hidden, dropout = self._head
        widths = [self.feature_dim, *hidden]
        return nn.Sequential(
            *dense(widths, dropout), nn.Linear(widths[-1], classes or self.classes)
        )


class Encoder(nn.Sequential):
    """Backbone, then bottleneck; before them an input adapter, where domains have other columns.

    Features that the backbone has made already pass it by.

    Args:
        shape: of one input.
        width: of the backbone's features.
        backbone: turns inputs into flat features.
        bottleneck: what follows.
        adapter: what comes before.
    """

    adapter: nn.Module
    backbone: nn.Module
    bottleneck: nn.Module

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int,
        backbone: nn.Module,
        bottleneck: nn.Module,
        adapter: Adapter | None,
    ) -> None:
        first = {} if adapter is None else {"adapter": adapter}
        super().__init__(OrderedDict(**first, backbone=backbone, bottleneck=bottleneck))
        self.shape, self.width = tuple(shape), width
        self.adapted = adapter is not None

    def forward(
        self, x: Num[Tensor, "rows ..."], domain: Int[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "rows d"]:
        """Features; no domain means the target's."""
        features: Tensor
        if x.shape[1:] == (self.width,) and self.shape != (self.width,):
            features = self.bottleneck(x)
            return features
        if self.adapted:
            x = self.adapter(x, domain)
        features = self.bottleneck(self.backbone(x))
        return features


def _stages(part: nn.Module, *, deep: bool) -> Iterator[tuple[str, nn.Module]]:
    for name, child in part.named_children():
        if not any(True for _ in child.parameters()):
            continue
        alone = [module for module in part.children() if any(True for _ in module.parameters())]
        below = len(alone) == 1 and any(True for _ in child.children())
        stacks = _plain(child) or any(_stack(inner) for inner in child.children())
        if deep and (stacks or below) and not isinstance(child, DomainNorm):
            yield from ((f"{name}.{inner}", stage) for inner, stage in _stages(child, deep=True))
        else:
            yield name, child


def _plain(module: nn.Module) -> bool:
    return type(module) in (nn.Sequential, nn.ModuleList)


def _stack(module: nn.Module) -> bool:
    kinds = [type(child) for child in module.children()]
    return _plain(module) and len(kinds) > 1 and len(set(kinds)) == 1


def _width(backbone: nn.Module, shape: tuple[int, ...]) -> int:
    training = backbone.training
    with torch.no_grad():
        try:
            features = backbone.eval()(torch.zeros(1, *shape))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise InputError(
                f"the backbone cannot take an input of the shape {shape} in float32: "
                f"{one_line(error)}"
            ) from error
    backbone.train(training)
    if not isinstance(features, Tensor):
        raise InputError(
            f"the backbone gives a {type(features).__name__}; needed is a tensor, (n, d), alone"
        )
    if features.ndim != 2:
        raise InputError(
            f"the backbone makes features of the shape {tuple(features.shape[1:])} of an input "
            f"of {shape}; needed is a row of numbers: torch.nn.Flatten() at its end makes one"
        )
    return int(features.shape[1])


def rows_per_pass(network: nn.Module, shape: Sequence[int], most: int) -> int:
    """How many rows are passed at once, without gradient: fewer where each has many numbers.

    Args:
        network: or a part of one; what brings images to another size says so (``passed_shape``).
        shape: of all rows.
        most: at any rate.
    """
    inside = (getattr(part, "passed_shape", ()) for part in network.modules())
    largest = max(prod(shape[1:]), *map(prod, filter(None, inside)), 1)
    return max(1, min(most, MOST_NUMBERS // largest))
