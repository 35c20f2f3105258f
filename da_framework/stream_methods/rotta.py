"""Robust statistics, a balanced memory, and a teacher, for streams whose classes come in clumps."""

import math

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn

from da_framework.core.batch import as_input
from da_framework.core.types import Count, NonNegative, Share
from da_framework.datasets.augmentations import View
from da_framework.networks.frozen import Frozen
from da_framework.networks.stream_norm import (
    RobustNorm,
    affine_parameters,
    replace_batch_norm,
)
from da_framework.stream_methods.base import MakeOptimizer, StreamMethod, augment

FREE = -1
"""The class of a place of the memory that holds nothing."""


class RoTTA(StreamMethod):
    r"""Robust test-time adaptation (RoTTA): learns from a memory that is balanced over classes.

    .. math::
        \min_{\gamma, \beta} \; \frac1{|M|} \sum_{i \in M}
        \frac{e^{-a_i / N}}{1 + e^{-a_i / N}} \,
        \left( -\sum_k \bar p_{ik} \log p_{ik}(v(x_i)) \right), \qquad
        s_i = \frac{\lambda_t}{1 + e^{-a_i / N}} + \lambda_u \frac{H(\bar p_i)}{\log k}

    The memory M of N samples has places for each class that the teacher predicts. A sample enters
    where its class has fewer than its share of places, or in the place of one with a higher score
    s, of the age a and the entropy; without a free place, of one of the largest classes. Every so
    many samples the student learns the teacher's predictions of M from augmented views, and the
    teacher's weights follow. Batch norm's statistics move by what is in M, a little at a time.

    Yuan, Xie, Li, "Robust Test-Time Adaptation in Dynamic Scenarios", CVPR 2023, eq. 1-8.
    https://arxiv.org/abs/2303.13899
    The defaults are the authors': N = 64, a step every 64 samples, α = .05, the teacher keeps .999,
    :math:`\lambda_t = \lambda_u = 1`, Adam at .001.
    Departure: views are those of the data set's augmentations.

    Pitfalls: it adapts slowly, by design, and short streams end before it helps; the memory is of
    inputs, which some may not be kept of.

    Args:
        model: a run's trained method, whose network has batch norm.
        optimizer: of scales and shifts.
        view: how the student sees inputs another way.
        capacity: N.
        every: samples between two steps.
        alpha: α of the statistics.
        keep: the share of the teacher that is kept in a step.
        timeliness: :math:`\lambda_t`.
        uncertainty: :math:`\lambda_u`.
    """

    inputs: Tensor
    label: Tensor
    entropy: Tensor
    age: Tensor
    seen: Tensor

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: MakeOptimizer,
        view: View,
        capacity: Count,
        every: Count,
        alpha: Share,
        keep: Share,
        timeliness: NonNegative,
        uncertainty: NonNegative,
    ) -> None:
        super().__init__(model)
        replace_batch_norm(self.network, RobustNorm, alpha)
        self.teacher = Frozen(self.model)
        self.view, self.every, self.keep = view, every, keep
        self.timeliness, self.uncertainty = timeliness, uncertainty
        self.train_only(affine_parameters(self.network), optimizer)
        like = next(self.network.head.parameters())
        self.register_buffer("inputs", like.new_zeros(capacity, *self.network.encoder.shape))
        self.register_buffer("label", torch.full((capacity,), FREE))
        self.register_buffer("entropy", like.new_zeros(capacity))
        self.register_buffer("age", like.new_zeros(capacity))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def predict(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        shares: Tensor = self.teacher(as_input(x))[1].softmax(1)
        return shares

    def predict_then_adapt(self, x: Num[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        shares = self.predict(x)
        entropies = torch.special.entr(shares).sum(1)
        plain = as_input(x)
        for number, label in enumerate(shares.argmax(1).tolist()):
            self.offer(plain[number], label, float(entropies[number]))
            self.seen += 1
            if int(self.seen) % self.every == 0:
                self.learn()
        return shares

    def scores(self, age: Tensor, entropy: Tensor) -> Tensor:
        """How readily samples give their places up.

        Args:
            age: in samples that have come since.
            entropy: of the teacher's prediction.
        """
        old = torch.sigmoid(age / len(self.label))
        return self.timeliness * old + self.uncertainty * entropy / math.log(self.classes)

    def offer(self, x: Tensor, label: int, entropy: float) -> None:
        """Takes a sample into the memory, or does not; all others are older by one."""
        place = self.find_place(label, entropy)
        if place is not None:
            self.inputs[place], self.label[place] = x, label
            self.entropy[place], self.age[place] = entropy, 0.0
        self.age += (self.label != FREE).to(self.age)

    def find_place(self, label: int, entropy: float) -> int | None:
        """The place of a new sample; none where it is not worth one."""
        taken = self.label != FREE
        counts = torch.bincount(self.label[taken], minlength=self.classes)
        if int(counts[label]) < len(self.label) / self.classes:
            if not bool(taken.all()):
                return int((~taken).nonzero()[0])
            rivals = (counts == counts.max())[self.label]
        else:
            rivals = self.label == label
        scores = self.scores(self.age, self.entropy).masked_fill(~rivals, -torch.inf)
        worst = int(scores.argmax())
        ours = self.scores(self.age.new_zeros(()), self.entropy.new_tensor(entropy))
        return worst if bool(scores[worst] > ours) else None

    def learn(self) -> None:
        """A step on the memory, after which the teacher follows."""
        held = self.label != FREE
        x, age = self.inputs[held], self.age[held] / len(self.label)
        norms = [m for m in self.modules() if isinstance(m, RobustNorm)]
        for norm in norms:
            norm.training = True
        with torch.no_grad():
            taught = self.teacher(x)[1].softmax(1)
        log_p = self.logits(augment(self.view, x)).log_softmax(1)
        weights = torch.sigmoid(-age)
        self.descend((weights * -(taught * log_p).sum(1)).mean())
        for norm in norms:
            norm.training = False
        with torch.no_grad():
            followers = self.teacher.module.parameters()
            for follower, weight in zip(followers, self.model.parameters(), strict=True):
                follower.lerp_(weight, 1 - self.keep)
