"""The network of every method: an encoder that makes features, a head that makes logits."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from da_framework.errors import InputError, listed
from da_framework.networks.adapter import Adapter
from da_framework.networks.mlp import dense
from da_framework.ranges import Count, Fraction


class Encoder(nn.Sequential):
    """Backbone, then bottleneck; before them an input adapter, which is told the rows' domains."""

    def forward(
        self, x: Float[Tensor, "rows ..."], domain: Int[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "rows d"]:
        """Features; no domain means the target's."""
        for module in self:
            x = module(x, domain) if isinstance(module, Adapter) else module(x)
        return x


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
        adapter: width of the input adapter, where there is one; ``None`` refuses such domains.
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
        adapter: Count | None = None,
    ) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if widths:
            if adapter is None:
                raise InputError(
                    f"the domains' rows have {listed(widths)} columns: network.adapter=256 brings "
                    "them to one width"
                )
            parts["adapter"], shape = Adapter(widths, adapter), (adapter,)
        body = backbone(shape)
        width = _width(body, shape)
        self.feature_dim = [width, *bottleneck][-1]
        parts.update(backbone=body, bottleneck=dense([width, *bottleneck], dropout))
        self.encoder: nn.Sequential = Encoder(parts)
        self.classes = classes
        self._head = (list(head), dropout)
        self.head = self.another_head()

    def forward(
        self, x: Float[Tensor, "rows ..."], domain: Int[Tensor, " rows"] | None = None
    ) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows k"]]:
        """Features and logits, in the precision of the weights."""
        if x.is_floating_point():
            x = x.to(next(self.head.parameters()).dtype)
        features = self.encoder(x, domain)
        return features, self.head(features)

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


def _width(backbone: nn.Module, shape: tuple[int, ...]) -> int:
    training = backbone.training
    with torch.no_grad():
        features = backbone.eval()(torch.zeros(1, *shape))
    backbone.train(training)
    return int(features.shape[1])
