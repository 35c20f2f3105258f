"""The convolutional network of AdaTime, for time series."""

from collections import OrderedDict
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import nn

from da_framework.core.types import Count, Fraction
from da_framework.networks.series import (
    SeriesConv,
    SeriesMaxPool,
    SeriesMean,
    SeriesNorm,
    series_shape,
)


class CNN1D(nn.Sequential):
    """Three blocks of convolution over time, batch norm, ReLU and max pooling; then the mean.

    Ragab et al., "AdaTime: A Benchmarking Suite for Domain Adaptation on Time Series Data", TKDD
    2023, section 4.3. https://arxiv.org/abs/2203.08321

    Args:
        shape: of one series: channels, time.
        channels: of each block; 64, 128, 128 there.
        kernel: length of the first block's convolution; 5 there for UCI-HAR. The others' is 8.
        stride: of the first block's convolution.
        dropout: after the first block.
        steps: features of each channel, means over as many stretches of time.

    Raises:
        InputError: the inputs are no series.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        channels: Annotated[list[Count], Field(min_length=1)],
        kernel: Count,
        stride: Count,
        dropout: Fraction,
        steps: Count,
    ) -> None:
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (inputs, outputs) in enumerate(pairwise([series_shape(shape)[0], *channels])):
            length, step = (kernel, stride) if number == 0 else (8, 1)
            blocks[f"block{number}"] = nn.Sequential(
                SeriesConv(inputs, outputs, length, step, padding=length // 2, bias=False),
                SeriesNorm(outputs),
                nn.ReLU(),
                SeriesMaxPool(),
                *([nn.Dropout(dropout)] if number == 0 and dropout else []),
            )
        pool = SeriesMean(steps)
        super().__init__(OrderedDict(**blocks, pool=pool, flatten=nn.Flatten()))
