"""Distances between the rows of two domains, and the width that fits a kernel to them."""

import torch
from jaxtyping import Float
from torch import Tensor

ROWS = 4096
"""Rows of both domains of which the median distance is taken."""


def centred(
    source: Float[Tensor, "n d"], target: Float[Tensor, "m d"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]]:
    """Both in double precision and about the origin, far from which distances would cancel."""
    source, target = source.detach().double(), target.detach().double()
    centre = torch.cat([source, target]).mean(0)
    return source - centre, target - centre


def squared_distances(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Squared Euclidean distances between all rows."""
    squared = torch.addmm(x.square().sum(1)[:, None] + y.square().sum(1), x, y.T, alpha=-2)
    return squared.clamp_min_(0)


def median_distance(source: Float[Tensor, "n d"], target: Float[Tensor, "m d"]) -> float:
    """Median distance of two rows of either domain; 1 where no two differ."""
    z = torch.cat([source, target])
    distances = torch.pdist(z[:: 1 + len(z) // ROWS])
    # more than half of the pairs may be of equal rows
    distances = distances[distances > 0]
    return distances.median().item() if len(distances) else 1.0
