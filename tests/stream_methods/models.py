"""Small models for stream methods: features, batch norm, a linear head."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from da_framework.networks.mlp import MLP
from da_framework.networks.network import Network
from da_framework.stream_methods.base import StreamMethod

WIDTH, CLASSES = 6, 3


class Model(nn.Module):
    """What a trained method is to a stream method."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, domain: Tensor | None = None) -> tuple[Tensor, Tensor]:
        features, logits = self.network(x, domain)
        return features, logits


def small_model(*, seed: int = 0, batch_norm: bool = True) -> Model:
    """A model in double precision, with statistics that are not those of the inputs."""
    torch.manual_seed(seed)
    network = Network(
        (WIDTH,),
        CLASSES,
        backbone=lambda shape: MLP(shape, widths=[8], batch_norm=batch_norm, dropout=0.0),
        bottleneck=[5],
        head=[],
        dropout=0.5,
    ).double()
    network.train()
    for _ in range(5):
        network(1 + 2 * torch.randn(32, WIDTH).double())
    with torch.no_grad():
        next(network.head.parameters()).mul_(6)  # some predictions are sure, others are not
    return Model(network.eval())


def image_model(*, seed: int = 0, side: int = 8, channels: int = 1) -> Model:
    """A model of small images, in single precision."""
    torch.manual_seed(seed)

    def backbone(shape: tuple[int, ...]) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )  # fmt: skip

    network = Network(
        (channels, side, side), CLASSES, backbone=backbone, bottleneck=[], head=[], dropout=0.0
    )
    return Model(network.eval())


def batches(count: int = 4, size: int = 16, *, seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, WIDTH, generator=generator).double() for _ in range(count)]


def images(count: int = 3, size: int = 6, *, seed: int = 1, side: int = 8) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randint(256, (size, 1, side, side), generator=generator, dtype=torch.uint8)
        for _ in range(count)
    ]


def run(method: StreamMethod, stream: list[Tensor], *, seed: int = 0) -> Tensor:
    """The predictions of a stream, with random numbers reseeded before each batch."""
    method.remember()
    given = []
    for number, x in enumerate(stream):
        torch.manual_seed(seed + number)
        given.append(method.predict_then_adapt(x))
    return torch.cat(given)


def sgd(lr: float, **keys: Any) -> Any:
    return lambda parameters: torch.optim.SGD(parameters, lr=lr, **keys)


def adam(lr: float) -> Any:
    return lambda parameters: torch.optim.Adam(parameters, lr=lr)


class Open(Model):
    """A model that has a logit for the unknown, which the network has not."""

    setting = "open"
    task = SimpleNamespace(classes=("a", "b", "c"))

    def forward(self, x: Tensor, domain: Tensor | None = None) -> tuple[Tensor, Tensor]:
        features, logits = self.network(x, domain)
        return features, torch.cat([logits, 2 * logits.amax(1, keepdim=True)], 1)
