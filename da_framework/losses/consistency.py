"""How far a student's predictions are from a teacher's, of whom no gradient is taken."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from da_framework.core.types import Share


def squared_difference(
    student: Float[Tensor, "rows k"], teacher: Float[Tensor, "rows k"], *, threshold: Share
) -> Float[Tensor, ""]:
    r"""Mean squared difference of probabilities, over samples the teacher is sure of.

    .. math:: \frac1n \sum_i \mathbb 1[\max_k q_{ik} \ge \tau] \frac1k \sum_k (p_{ik} - q_{ik})^2

    French, Mackiewicz, Fisher, "Self-ensembling for visual domain adaptation", ICLR 2018, section
    3. https://arxiv.org/abs/1706.05208

    Args:
        student, teacher: logits of the same samples.
        threshold: τ; samples of which the teacher is less sure cost nothing, and yet count in n.
    """
    p, q = student.softmax(1), teacher.detach().softmax(1)
    sure = q.amax(1) >= threshold
    return (sure * (p - q).square().mean(1)).mean()


def hard_consistency(
    student: Float[Tensor, "rows k"], teacher: Float[Tensor, "rows k"], *, threshold: Share
) -> Float[Tensor, ""]:
    r"""Cross-entropy with the teacher's decision, over samples it is sure of.

    .. math:: \frac1n \sum_i \mathbb 1[\max_k q_{ik} \ge \tau] \left( -\log p_{i \hat q_i} \right),
        \qquad \hat q_i = \arg\max_k q_{ik}

    Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence",
    NeurIPS 2020, eq. 4. https://arxiv.org/abs/2001.07685

    Args:
        student, teacher: logits of the same samples, seen in two ways.
        threshold: τ; samples of which the teacher is less sure cost nothing, and yet count in n.
    """
    sure, decided = teacher.detach().softmax(1).max(1)
    return ((sure >= threshold) * cross_entropy(student, decided, reduction="none")).mean()
