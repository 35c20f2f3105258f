"""Recurrent networks for time series."""

from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout as drop_out

from da_framework.core.types import Count, Fraction
from da_framework.networks.series import SeriesLayer, series_length, series_shape


class Recurrent(SeriesLayer, nn.Module):
    """An LSTM or a GRU that reads a series step by step; its features are the last state.

    - Hochreiter, Schmidhuber, "Long Short-Term Memory", Neural Computation 1997.
      https://doi.org/10.1162/neco.1997.9.8.1735
    - Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014: the GRU.
      https://arxiv.org/abs/1406.1078

    Args:
        shape: of one series: channels, time.
        cell: which of the two.
        width: of the state.
        layers: each reads the states of the one below.
        bidirectional: reads the series backwards as well, with a state of its own.
        dropout: between layers.

    Raises:
        InputError: the inputs are no series.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        cell: Literal["lstm", "gru"],
        width: Count,
        layers: Count,
        bidirectional: bool,
        dropout: Fraction,
    ) -> None:
        super().__init__()
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.cell = kind(
            series_shape(shape)[0],
            width,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )

    def forward(self, x: Float[Tensor, "rows channels time"]) -> Float[Tensor, "rows d"]:
        """The state of the last layer behind the last step, of both directions."""
        if self.padded:
            return self.read_padded(x.nan_to_num(nan=0.0).transpose(1, 2), series_length(x))
        _, state = self.cell(x.transpose(1, 2))
        last: Tensor = state[0] if isinstance(state, tuple) else state
        ways = 2 if self.cell.bidirectional else 1
        return last[-ways:].transpose(0, 1).flatten(1)

    def read_padded(
        self, x: Float[Tensor, "rows time channels"], length: Int[Tensor, " rows"]
    ) -> Float[Tensor, "rows d"]:
        """The same of series of unequal length, each read to its end, and backwards from there."""
        ways = 2 if self.cell.bidirectional else 1
        step = torch.arange(x.shape[1], device=x.device)
        backwards = torch.where(step < length[:, None], length[:, None] - 1 - step, step)
        weights = self.cell.all_weights
        for layer in range(self.cell.num_layers):
            if layer:
                x = drop_out(x, self.cell.dropout, self.training)
            states = [self.read_layer(x, weights[ways * layer])]
            if ways == 2:
                turned = self.read_layer(reorder(x, backwards), weights[ways * layer + 1])
                states.append(reorder(turned, backwards))
            x = torch.cat(states, dim=2)
        width = self.cell.hidden_size
        last = reorder(x[..., :width], length[:, None] - 1)[:, 0]
        return torch.cat([last, x[:, 0, width:]], dim=1)

    def read_layer(
        self, x: Float[Tensor, "rows time inputs"], weights: Any
    ) -> Float[Tensor, "rows time width"]:
        """The states of one layer in one direction."""
        begin = x.new_zeros(1, x.shape[0], self.cell.hidden_size)  # of any number of rows
        lstm = isinstance(self.cell, nn.LSTM)
        run: Any = torch.lstm if lstm else torch.gru
        first = (begin, begin) if lstm else begin
        states: Tensor = run(x, first, weights, True, 1, 0.0, self.training, False, True)[0]
        return states


def reorder(
    x: Float[Tensor, "rows time d"], steps: Int[Tensor, "rows steps"]
) -> Float[Tensor, "rows steps d"]:
    """Those steps of each series, in this order."""
    return x.gather(1, steps[..., None].expand(-1, -1, x.shape[2]))
