"""Input layers of each domain's own, for domains whose rows have other columns."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Adapter(nn.Module):
    """A linear layer for each domain, which reads the domain's own columns alone.

    Every layer is given every row and each row keeps what its own domain's makes of it: nothing
    waits for the device, and on every process all layers have a gradient, of zeros where a batch
    has no row of theirs.

    Args:
        widths: columns of each domain; what a row has behind them is padding.
        width: what all are brought to.
    """

    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(columns, width) for columns in widths)

    def forward(
        self, x: Float[Tensor, "rows columns"], domain: Int[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "rows d"]:
        """Samples of one width; no domain means the last, the target."""
        *others, last = self.layers
        adapted: Tensor = last(x[:, : last.in_features])
        if domain is not None:
            for number, layer in enumerate(others):
                inside = (domain == number)[:, None]
                adapted = torch.where(inside, layer(x[:, : layer.in_features]), adapted)
        return adapted
