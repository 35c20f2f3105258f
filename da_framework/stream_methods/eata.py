"""Entropy minimisation on reliable, unlike samples, held near weights that matter."""

import math

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from da_framework.core.types import Count, NonNegative, Positive, Share
from da_framework.losses.entropy import row_entropy
from da_framework.stream_methods.base import MakeOptimizer, require_gradient
from da_framework.stream_methods.tent import Tent


class EATA(Tent):
    r"""Efficient anti-forgetting test-time adaptation: TENT on chosen samples, near the source.

    .. math::
        \min_{\theta} \; \frac1{|S|} \sum_{i \in S} e^{E_0 - H(p_i)} \, H(p_i)
        + \beta \sum_j \omega_j (\theta_j - \theta_j^0)^2, \qquad
        S = \{ i : H(p_i) < E_0, \; |\cos(p_i, m)| < \epsilon \}

    m is the moving average of the predictions that were learnt from, and :math:`\omega` the
    diagonal of the Fisher information of the source model, at its own predictions on inputs of the
    source. Without the three it is ``tent``.

    Niu, Wu, Zhang, Chen, Zheng, Zhao, Tan, "Efficient Test-Time Model Adaptation without
    Forgetting", ICML 2022, eq. 2-8. https://arxiv.org/abs/2204.02610
    The defaults are the authors' for CIFAR-10-C: :math:`E_0 = .4 \log k`, ε = .4, β = 1, 2000
    inputs of the source in batches of 64, SGD at .005 with momentum .9; theirs for ImageNet are
    ε = .05, β = 2000 and a rate of .00025. As in their code, gradients of batches are squared.

    Pitfalls: of few classes the margin lets little through, and nothing is learnt; a share of
    filtered samples is no fault. It needs inputs of the source, without labels.

    Args:
        model: a run's trained method, whose network has batch norm.
        optimizer: of scales and shifts.
        prior: weight of training's statistics in samples: see ``bn_statistics``.
        margin: :math:`E_0` as a share of log k; ``None``: all samples count, with weight 1.
        redundancy: ε, the cosine from which on a prediction tells nothing new; ``None``: none does.
        momentum: share of the moving average m that is kept.
        fisher: β.
        fisher_samples: inputs of the source that the Fisher information is made of.
    """

    mean: Tensor

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: MakeOptimizer,
        prior: NonNegative,
        margin: Positive | None,
        redundancy: Share | None,
        momentum: Share,
        fisher: NonNegative,
        fisher_samples: Count,
    ) -> None:
        super().__init__(model, optimizer=optimizer, prior=prior)
        self.margin, self.redundancy, self.momentum = margin, redundancy, momentum
        self.fisher, self.fisher_samples = fisher, fisher_samples
        self.needs_source = fisher > 0
        self.importance: list[Tensor] = []
        self.anchor: list[Tensor] = []
        # zeros: no prediction has been learnt from yet
        like = next(self.network.head.parameters())
        self.register_buffer("mean", like.new_zeros(self.classes))

    def prepare(self, source: Num[Tensor, "n ..."]) -> None:
        batches = source[: self.fisher_samples].split(64)  # type: ignore[no-untyped-call]
        self.anchor = [parameter.detach().clone() for parameter in self.trained]
        self.importance = [torch.zeros_like(anchor) for anchor in self.anchor]
        for x in batches:
            logits = self.logits(x)
            loss = cross_entropy(logits, logits.argmax(1))
            require_gradient(loss)
            gradients = torch.autograd.grad(loss, self.trained)
            for total, gradient in zip(self.importance, gradients, strict=True):
                total += gradient.square() / len(batches)

    def predict_then_adapt(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        logits = self.logits(x)
        shares = logits.detach().softmax(1)
        kept, weights = self.choose(shares, row_entropy(logits.detach()))
        if kept.any():
            entropies = row_entropy(logits)[kept] * weights[kept]
            self.descend(entropies.mean() + self.fisher * self.distance())
            self.follow(shares[kept].mean(0))
        return shares

    def choose(
        self, shares: Float[Tensor, "n k"], entropies: Float[Tensor, " n"]
    ) -> tuple[Tensor, Float[Tensor, " n"]]:
        """Which samples are learnt from, and with which weights."""
        kept, weights = torch.ones_like(entropies, dtype=torch.bool), torch.ones_like(entropies)
        if self.margin is not None:
            least = self.margin * math.log(shares.shape[1])
            kept, weights = entropies < least, (least - entropies).exp()
        if self.redundancy is not None and bool(self.mean.any()):
            alike = cosine_similarity(shares, self.mean[None], dim=1)
            kept = kept & (alike.abs() < self.redundancy)
        return kept, weights

    def follow(self, mean: Float[Tensor, " k"]) -> None:
        """Moves the average of predictions."""
        first = not bool(self.mean.any())
        self.mean.copy_(mean if first else torch.lerp(mean, self.mean, self.momentum))

    def distance(self) -> Tensor:
        """Squared distance of the trained weights from the source's, by their importance."""
        total = self.mean.new_zeros(())
        for parameter, anchor, importance in zip(
            self.trained, self.anchor, self.importance, strict=bool(self.anchor)
        ):
            total = total + (importance * (parameter - anchor).square()).sum()
        return total
