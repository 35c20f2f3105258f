"""Share of the target above a confidence that as many source samples fall short of as are wrong."""

from collections.abc import Mapping
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from da_framework.core.batch import Outputs

Score = Literal["negative_entropy", "max_confidence"]


def atc(outputs: Mapping[str, Outputs], *, score: Score) -> float:
    r"""Averaged threshold confidence: share of target samples above a threshold; in [0, 1].

    .. math:: \frac1m \sum_i [s(t_i) \ge \theta], \qquad
        \frac1n \sum_i [s(x_i) < \theta] = \frac1n \sum_i [\arg\max_k z_{ik} \ne y_i]

    On the held-out source as many samples are below the threshold as are wrong. Garg et al.,
    "Leveraging Unlabeled Data to Predict Out-of-Distribution Performance", ICLR 2022.
    https://arxiv.org/abs/2201.04234
    Departures: where none or all are wrong, the equation leaves the threshold open: it is then the
    source's lowest score, or above every score. The authors' code counts the sample on the
    threshold otherwise, and so is :math:`1/n` off on the source itself.

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
        score: s, ``negative_entropy`` of the probabilities or ``max_confidence``; the paper's
            results favour the first.
    """
    source = outputs["source"]
    wrong = int((source.logits.argmax(1) != source.y).sum())
    if wrong == len(source.y):
        return 0.0
    threshold = confidence(source.logits, score).sort().values[wrong]
    return (confidence(outputs["target"].logits, score) >= threshold).double().mean().item()


def confidence(logits: Float[Tensor, "rows k"], score: Score) -> Float[Tensor, " rows"]:
    """How sure each prediction is: its largest probability, or minus its entropy in nats."""
    log_p = logits.double().log_softmax(1)
    if score == "max_confidence":
        return log_p.amax(1).exp()
    return (log_p.exp() * log_p).sum(1)
