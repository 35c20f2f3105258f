"""Layers for time series of unequal length: what stands behind the end of each, NaN, is not read.

A layer marks the end of its output as its input was marked, by NaN in all channels, so that the
marks need no way of their own through a network. Series of one length pass as through the layers
that these are made of.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from da_framework.core.errors import InputError

Series = Float[Tensor, "rows channels time"]
Made = Float[Tensor, "rows outputs steps"]
Lengths = Int[Tensor, " rows"]


class SeriesLayer:
    """A layer that heeds where series end, once it is told that they are of unequal length.

    Attributes:
        padded: whether that is so.
    """

    padded: bool = False


class SeriesConv(SeriesLayer, nn.Conv1d):
    """Convolution over time, behind whose end are zeros, as behind the end of all."""

    def forward(self, x: Series) -> Made:
        if not self.padded:
            return super().forward(x)
        (kernel,), (stride,), padding = self.kernel_size, self.stride, self.padding[0]
        length = (series_length(x) + 2 * int(padding) - kernel) // stride + 1
        return mark_end(super().forward(x.nan_to_num(nan=0.0)), length)


class SeriesNorm(SeriesLayer, nn.BatchNorm1d):
    """Batch norm whose statistics are of the steps that there are."""

    def forward(self, x: Series) -> Series:
        if not self.padded:
            return super().forward(x)
        there = ~x.isnan()
        if not self.training:
            return torch.where(there, super().forward(x.nan_to_num(nan=0.0)), x)
        normed = x.transpose(1, 2).clone()
        normed[there[:, 0]] = super().forward(normed[there[:, 0]]).to(normed.dtype)
        return normed.transpose(1, 2)


class SeriesMaxPool(SeriesLayer, nn.MaxPool1d):
    """The larger of two steps each, beginning with the first alone."""

    def __init__(self) -> None:
        super().__init__(2, stride=2, padding=1)

    def forward(self, x: Series) -> Made:
        if not self.padded:
            pooled: Tensor = super().forward(x)
            return pooled
        pooled = super().forward(x.nan_to_num(nan=-torch.inf))
        return mark_end(pooled, series_length(x) // 2 + 1)


class SeriesMean(SeriesLayer, nn.AdaptiveAvgPool1d):
    """Means over as many stretches of time as are asked for, which share what there is."""

    def forward(self, x: Series) -> Made:
        if not self.padded:
            pooled: Tensor = super().forward(x)
            return pooled
        parts = torch.arange(int(self.output_size), device=x.device)  # type: ignore[arg-type]
        length = series_length(x)[:, None]
        begin, end = parts * length // len(parts), -(-(parts + 1) * length // len(parts))
        step = torch.arange(x.shape[2], device=x.device)
        inside = (step >= begin[..., None]) & (step < end[..., None])
        shares = inside.to(x.dtype) / (end - begin)[..., None]
        return (shares @ x.nan_to_num(nan=0.0).transpose(1, 2)).transpose(1, 2)


def heed_ends(network: nn.Module) -> None:
    """Tells the layers of a network that series are of unequal length."""
    for module in network.modules():
        if isinstance(module, SeriesLayer):
            module.padded = True


def series_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Channels and time of one series.

    Raises:
        InputError: it is none.
    """
    if len(shape) != 2:
        raise InputError(
            f"a network for time series needs channels and time, but an input has the shape {shape}"
        )
    return shape[0], shape[1]


def series_length(x: Series) -> Lengths:
    """Steps of each series: NaN is behind its end alone."""
    return steps_there(x).sum(1)


def steps_there(x: Series) -> Bool[Tensor, "rows time"]:
    """Marks the steps before the end of each series."""
    return ~x[:, 0].isnan()


def mark_end(x: Series, length: Lengths) -> Series:
    """Puts NaN behind the end of each series."""
    step = torch.arange(x.shape[2], device=x.device)
    return torch.where(step < length[:, None, None], x, torch.nan)
