"""Universal adaptation: the classes that both domains have are found and aligned."""

import math
from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from da_framework.core.batch import Outputs, Task, Term, both_features
from da_framework.core.schedules import Schedule, as_schedule
from da_framework.core.types import Count, Finite, NonNegative
from da_framework.losses.adversarial import domain_adversarial
from da_framework.losses.entropy import row_entropy
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.adversary import Discriminator, reverse_gradient
from da_framework.networks.network import Network


class UAN(Method):
    r"""Universal adaptation network: aligns the classes that both domains have, rejects others.

    .. math::
        w_S(x) = \frac{H(p)}{\log k} - d'(x), \qquad w_T(x) = d'(x) - \frac{H(p)}{\log k}

    Domain-adversarial training in which a sample weighs by how likely it is of a class that both
    domains have. d' is a second discriminator, which is not played against: 1 is source. Both
    weights are brought to [0, 1] over the batch; target samples with :math:`w_T` under a threshold
    are the unknown, which is the last logit of an evaluation.

    You et al., "Universal Domain Adaptation", CVPR 2019.
    https://openaccess.thecvf.com/content_CVPR_2019/html/You_Universal_Domain_Adaptation_CVPR_2019_paper.html
    Departure: the domain losses are means over the domains, where the paper has sums.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        hidden: widths of the discriminators' hidden layers.
        weight: of the adversarial domain loss among the terms.
        coefficient: λ of the gradient reversal, as a function of progress.
        threshold: of :math:`w_T`, in [-1, 1], under which a sample is unknown.
    """

    setting: ClassVar = "open"
    exempt_from: ClassVar = {
        "terms_learn_from_what_they_read": "d' judges features, which do not learn from it"
    }

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        hidden: list[Count],
        weight: NonNegative,
        coefficient: Schedule | Finite,
        threshold: Finite,
        **base: Unpack[MethodKeys],
    ) -> None:
        super().__init__(network, task, **base)
        self.discriminator = Discriminator(network.feature_dim, hidden)
        self.judge = Discriminator(network.feature_dim, hidden)
        self.weight = weight
        self.coefficient = as_schedule(coefficient)
        self.threshold = threshold
        self.gives_probabilities = False  # the unknown's logit is a decision

    def forward(
        self, x: Num[Tensor, "rows ..."], domain: Int[Tensor, " rows"] | None = None
    ) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows c"]]:
        features, logits = self.network(x, domain)
        is_known = self.transferability(features, logits) >= self.threshold
        unknown = torch.where(is_known, logits.amin(1) - 1, logits.amax(1) + 1)
        return features, torch.cat([logits, unknown[:, None]], dim=1)

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        n = len(source.x)
        features = both_features(source, target)
        logits = torch.cat([source.logits, target.logits])
        with torch.no_grad():
            w = self.transferability(features, logits)
            weights = torch.cat([_rescale(-w[:n]), _rescale(w[n:])])
        adversarial = self.discriminator(
            reverse_gradient(features, self.coefficient(self.progress))
        )
        return {
            "domain": Term(domain_adversarial(adversarial, n=n, weights=weights), self.weight),
            # detached: it judges the features and does not shape them
            "similarity": Term(domain_adversarial(self.judge(features.detach()), n=n)),
        }

    def transferability(
        self, features: Float[Tensor, "rows d"], logits: Float[Tensor, "rows k"]
    ) -> Float[Tensor, " rows"]:
        """w_T; w_S is its negative."""
        share = row_entropy(logits) / math.log(max(logits.shape[1], 2))
        similarity: Tensor = self.judge(features).sigmoid()
        return similarity - share


def _rescale(w: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
    low, high = w.min(), w.max()
    return (w - low) / (high - low).clamp_min(1e-12)
