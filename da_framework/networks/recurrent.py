"""Recurrent networks for time series."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from da_framework.core.types import Count, Fraction
from da_framework.networks.cnn1d import series_shape


class Recurrent(nn.Module):
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
        _, state = self.cell(x.transpose(1, 2))
        last: Tensor = state[0] if isinstance(state, tuple) else state
        ways = 2 if self.cell.bidirectional else 1
        return last[-ways:].transpose(0, 1).flatten(1)
