"""The same structure reused, with noise in it."""

from collections.abc import Mapping
from typing import Literal, Unpack

from torch import Tensor
from torch.func import functional_call

from da_framework.core.batch import Batch, Outputs, Task
from da_framework.core.types import Fraction, NonNegative
from da_framework.methods.base import MethodKeys
from da_framework.methods.fine_tuning import FineTuning
from da_framework.networks.network import Network


class StructuralNoise(FineTuning):
    r"""Structural noise: fine-tuning with noise in the features, the logits or the weights.

    .. math:: F_T(x) = F_S(x) + \epsilon, \qquad \epsilon \sim
        \mathcal N(0, \, s^2 \, \overline{v^2} I)

    in training, anew every step; at an evaluation there is none. v is where the noise is: the
    features, the logits, or every weight tensor of the network, whose gradient is then taken at the
    noisy weights. At s = 0 it is ``FineTuning``.

    Noise in the features and weights of a network as a regulariser: Graves, "Practical Variational
    Inference for Neural Networks", NeurIPS 2011.
    https://papers.nips.cc/paper/2011/hash/7eb3c8be3d411e8ebfab08eba5f49632-Abstract.html

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        place: of the noise.
        scale: s, relative to the root mean square of v.
        gradual: as of ``FineTuning``.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        place: Literal["features", "logits", "weights"],
        scale: NonNegative,
        gradual: Fraction,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, gradual=gradual, **base)
        self.place = place
        self.scale = scale

    def outputs(self, batch: Batch) -> Mapping[str, Outputs]:
        if not self.scale:
            return super().outputs(batch)
        if self.place == "weights":
            network = self.network
            noisy_weights = {
                name: self.add_noise(weight) for name, weight in network.named_parameters()
            }
            rows = batch["target_labelled"]
            features, logits = functional_call(network, noisy_weights, (rows.x, rows.domain))
            return {"target_labelled": Outputs(*map(self.gather, (*rows, features, logits)))}
        passed = super().outputs(batch)["target_labelled"]
        if self.place == "logits":
            passed = passed._replace(logits=self.add_noise(passed.logits))
        else:
            features = self.add_noise(passed.features)
            passed = passed._replace(features=features, logits=self.network.head(features))
        return {"target_labelled": passed}

    def add_noise(self, values: Tensor) -> Tensor:
        """Values with noise in proportion to their root mean square."""
        size = values.detach().square().mean().sqrt()
        return values + self.scale * size * self.normal(*values.shape, like=values)
