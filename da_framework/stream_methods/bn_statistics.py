"""Batch norm's statistics of the batch at hand."""

from torch import nn

from da_framework.core.types import NonNegative
from da_framework.networks.stream_norm import StreamNorm, replace_batch_norm
from da_framework.stream_methods.base import StreamMethod


class BNStatistics(StreamMethod):
    r"""Prediction-time batch normalization: statistics of the batch in place of training's.

    .. math::
        \mu = \frac{N \mu_s + n \mu_b}{N + n}, \qquad
        \sigma^2 = \frac{N \sigma_s^2 + n \sigma_b^2}{N + n}

    Nothing is learnt: each batch is normalised by itself, so that the order of batches changes
    nothing, what is in one batch does.

    Nado et al., "Evaluating Prediction-Time Batch Normalization for Robustness under Covariate
    Shift", 2020 (N = 0). https://arxiv.org/abs/2006.10963
    Schneider et al., "Improving robustness against common corruptions by covariate shift
    adaptation", NeurIPS 2020, eq. 3 (N > 0; they find 16 to be safe for batches of one sample and
    256 for larger shifts of small batches). https://arxiv.org/abs/2006.16971

    Pitfalls: the smaller a batch, the rougher its statistics; in a batch of one class they remove
    what tells that class from others, and accuracy falls far below the source model's. Where a
    batch has one value a channel (one sample, no pixels), training's statistics are used.

    Args:
        model: a run's trained method, whose network has batch norm.
        prior: N, the weight of training's statistics in samples; 0 replaces them.
    """

    def __init__(self, model: nn.Module, *, prior: NonNegative) -> None:
        super().__init__(model)
        replace_batch_norm(self.network, StreamNorm, prior)
