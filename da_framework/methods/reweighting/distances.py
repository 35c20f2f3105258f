"""Distances between the rows of two domains, and the width that fits a kernel to them."""

import torch
from jaxtyping import Float
from torch import Tensor

MEDIAN_SAMPLES = 4096
"""Samples of both domains of which the median distance is taken."""


def centred(
    source: Float[Tensor, "n d"], target: Float[Tensor, "m d"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]]:
    """Both domains in double precision, about the origin: far from it distances would cancel."""
    source, target = source.detach().double(), target.detach().double()
    centre = torch.cat([source, target]).mean(0)
    return source - centre, target - centre


def cross_squared_distances(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]
) -> Float[Tensor, "n m"]:
    """Squared Euclidean distances of every sample of x from every sample of y."""
    squared = torch.addmm(x.square().sum(1)[:, None] + y.square().sum(1), x, y.T, alpha=-2)
    return squared.clamp_min_(0)


def median_distance(source: Float[Tensor, "n d"], target: Float[Tensor, "m d"]) -> float:
    """Median distance of two samples of either domain; 1 where no two differ."""
    z = torch.cat([source, target])
    distances = torch.pdist(z[:: 1 + len(z) // MEDIAN_SAMPLES])
    # more than half of the pairs may be of equal samples
    distances = distances[distances > 0]
    return distances.median().item() if len(distances) else 1.0
