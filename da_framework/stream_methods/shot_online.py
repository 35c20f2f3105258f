"""Source hypothesis transfer, batch by batch."""

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, one_hot

from da_framework.core.types import NonNegative
from da_framework.losses.information import negative_mutual_information
from da_framework.stream_methods.base import MakeOptimizer, StreamMethod


class SHOTOnline(StreamMethod):
    r"""Source hypothesis transfer (SHOT) of a stream: the encoder learns from each batch once.

    .. math::
        \min_{f} \; w \left( \overline{H(p(x))} - H(\overline{p(x)}) \right)
        + \beta \, \overline{-\log p_{\hat y}(x)}

    The head stays; labels :math:`\hat y` are those of the nearest centre, centres the means of the
    batch's features, weighted first by the predictions and then by the labels that these gave.

    Liang, Hu, Feng, "Do We Really Need to Access the Source Data? Source Hypothesis Transfer for
    Unsupervised Domain Adaptation", ICML 2020, eq. 4-7. https://arxiv.org/abs/2002.08546
    As a method of streams it is a baseline of Iwasawa, Matsuo, "Test-Time Classifier Adjustment
    Module for Model-Agnostic Domain Generalization", NeurIPS 2021. w and β are the paper's; the
    rate is ours, of Adam as theirs.
    Departures: centres are of a batch, where the paper's are of the whole target; batch norm keeps
    the source's statistics.

    Pitfalls: the second entropy wants all classes in every batch alike: in batches of few samples
    or few classes it spreads them over classes that they are not of.

    Args:
        model: a run's trained method.
        optimizer: of the encoder.
        weight: w of the information term.
        pseudo_weight: β of the labels' term.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: MakeOptimizer,
        weight: NonNegative,
        pseudo_weight: NonNegative,
    ) -> None:
        super().__init__(model)
        self.weight, self.pseudo_weight = weight, pseudo_weight
        self.train_only(self.network.encoder.parameters(), optimizer)

    def predict_then_adapt(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        features, logits = self.outputs(x)
        labels = nearest_centres(features.detach(), logits.detach().softmax(1))
        information = negative_mutual_information(logits)
        self.descend(self.weight * information + self.pseudo_weight * cross_entropy(logits, labels))
        return logits.detach().softmax(1)


def nearest_centres(
    features: Float[Tensor, "n d"], shares: Float[Tensor, "n k"]
) -> Int[Tensor, " n"]:
    """Labels of a batch by the nearest centre of its own, in direction.

    Args:
        features: of the batch; a 1 is appended to each, as in the authors' code.
        shares: the predictions.
    """
    features = normalize(torch.cat([features, torch.ones_like(features[:, :1])], dim=1))
    nearest = shares.argmax(1)
    for _ in range(2):
        cosine = features @ normalize(shares.T @ features).T
        # a class that no sample is put in has no centre
        empty = ~one_hot(nearest, shares.shape[1]).any(0)
        nearest = cosine.masked_fill(empty, -torch.inf).argmax(1)
        shares = one_hot(nearest, shares.shape[1]).to(features)
    return nearest
