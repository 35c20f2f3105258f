"""A head whose rows are means of features that the model is sure of."""

from typing import ClassVar

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn.functional import normalize

from da_framework.core.types import Count
from da_framework.losses.entropy import row_entropy
from da_framework.stream_methods.base import StreamMethod


class T3A(StreamMethod):
    r"""Test-time classifier adjustment: prototypes of confident features replace the head's rows.

    .. math::
        c_k = \frac{\sum_{z \in S_k} z / \lVert z \rVert}
        {\lVert \sum_{z \in S_k} z / \lVert z \rVert \rVert}, \qquad
        p_k(x) \propto \exp(f(x)^\top c_k)

    :math:`S_k` begins with the head's row of class k. Features that the head puts into class k join
    it, and the ones with the least entropy stay; a batch joins before it is predicted. With only
    the head's rows it is the head, as far as these have unit length and no bias.

    Iwasawa, Matsuo, "Test-Time Classifier Adjustment Module for Model-Agnostic Domain
    Generalization", NeurIPS 2021, eq. 2-6.
    https://papers.nips.cc/paper/2021/hash/1415fe9fea0fa1e45dddcff5682239a0-Abstract.html
    The authors choose the number that stays among 1, 5, 20, 50, 100 and all; 20 is ours.
    Departure: a row of the head is put into its own class, whatever the head says of it.

    Pitfalls: lengths of the head's rows and its bias are lost, so that classes that were rare in
    the source are predicted more often, also where nothing has shifted.

    Args:
        model: a run's trained method, with a linear head.
        supports: features of each class that stay.
    """

    needs_linear_head: ClassVar = True
    supports: Tensor
    entropies: Tensor

    def __init__(self, model: nn.Module, *, supports: Count) -> None:
        super().__init__(model)
        head = self.network.head[0]
        rows = head.weight.detach()
        kept = rows.new_zeros(len(rows), supports, rows.shape[1])
        kept[:, 0] = normalize(rows)
        entropies = rows.new_full((len(rows), supports), torch.inf)
        with torch.no_grad():
            entropies[:, 0] = row_entropy(head(rows))
        self.register_buffer("supports", kept)
        self.register_buffer("entropies", entropies)

    @torch.no_grad()
    def predict(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        return self.classify(self.outputs(x)[0]).softmax(1)

    def classify(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """Logits by the prototypes."""
        return features @ normalize(self.supports.sum(1)).T

    @torch.no_grad()
    def predict_then_adapt(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        features, logits = self.outputs(x)
        label, entropies = logits.argmax(1), row_entropy(logits)
        for number in torch.unique(label).tolist():
            here = label == number
            pool = torch.cat([self.supports[number], normalize(features[here])])
            value = torch.cat([self.entropies[number], entropies[here]])
            order = value.argsort(stable=True)[: self.supports.shape[1]]
            self.supports[number], self.entropies[number] = pool[order], value[order]
        return self.classify(features).softmax(1)
