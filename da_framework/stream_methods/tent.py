"""Entropy minimisation at test time."""

from jaxtyping import Float, Num
from torch import Tensor, nn

from da_framework.core.types import NonNegative
from da_framework.losses.entropy import entropy
from da_framework.networks.stream_norm import affine_parameters
from da_framework.stream_methods.base import MakeOptimizer
from da_framework.stream_methods.bn_statistics import BNStatistics


class Tent(BNStatistics):
    r"""Test entropy minimization: scales and shifts of normalisation learn to be certain.

    .. math::
        \min_{\gamma, \beta} \; \frac1n \sum_i H(p(x_i)), \qquad
        H(p) = -\sum_k p_k \log p_k

    One step a batch, after its prediction; statistics are those of the batch. At rate 0 it is
    ``bn_statistics``.

    Wang, Shelhamer, Liu, Olshausen, Darrell, "Tent: Fully Test-Time Adaptation by Entropy
    Minimization", ICLR 2021, section 3. https://arxiv.org/abs/2006.10726
    The defaults are the authors' for CIFAR-10-C: Adam at .001 with batches of 200; theirs for
    ImageNet are SGD at .00025 with momentum .9 and batches of 64.
    Departure: dropout stays off, which training mode turns on in the authors' code.

    Pitfalls: entropy is least where all is put into one class. A large rate, a long stream, small
    batches or batches of one class end there: ``guard=true`` notices.

    Args:
        model: a run's trained method, whose network has batch norm.
        optimizer: of scales and shifts.
        prior: weight of training's statistics in samples: see ``bn_statistics``.
    """

    def __init__(self, model: nn.Module, *, optimizer: MakeOptimizer, prior: NonNegative) -> None:
        super().__init__(model, prior=prior)
        self.train_only(affine_parameters(self.network), optimizer)

    def predict_then_adapt(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        logits = self.logits(x)
        self.descend(entropy(logits))
        return logits.detach().softmax(1)
