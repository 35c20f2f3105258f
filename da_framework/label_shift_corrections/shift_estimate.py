"""What a correction of label shift gives, and the linear system that two of them solve."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

Mode = Literal["hard", "soft"]
"""Whether a prediction counts for its likeliest class, or for each by its probability."""


class ShiftEstimate(NamedTuple):
    """How often each class is there in the target.

    Attributes:
        weights: share in the target over share in the source, of each class; at least 0. Those that
            solve a linear system need not be of shares that sum to 1.
        shares: in the target; fractions of 1.
    """

    weights: Float[Tensor, " k"]
    shares: Float[Tensor, " k"]


class PredictedShares(NamedTuple):
    """How often classes are predicted, on both sides.

    Attributes:
        joint: of source samples, that a class is predicted (down) and is true (across).
        target: of target samples, that a class is predicted.
        labels: of source samples, that a class is true.
    """

    joint: Float[Tensor, "k k"]
    target: Float[Tensor, " k"]
    labels: Float[Tensor, " k"]


def predicted_shares(
    source: Float[Tensor, "n k"], y: Int[Tensor, " n"], target: Float[Tensor, "m k"], *, mode: Mode
) -> PredictedShares:
    """The shares by which ``bbse`` and ``rlls`` know the target."""
    k = source.shape[1]
    one_hot = torch.eye(k, dtype=torch.float64, device=source.device)
    if mode == "hard":
        source, target = (one_hot[p.argmax(1).cpu()] for p in (source, target))
    of_class = one_hot[y]
    joint = source.double().T @ of_class / len(y)
    return PredictedShares(joint, target.double().mean(0), of_class.mean(0))


def normalised(values: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """The values scaled to sum 1; equal ones where all are 0."""
    total = values.sum()
    return values / total if total > 0 else torch.full_like(values, 1 / len(values))
