"""Source accuracy less what confidence loses on the target."""

from collections.abc import Mapping

from da_framework.accuracy_estimators.ac import ac
from da_framework.core.batch import Outputs


def doc(outputs: Mapping[str, Outputs]) -> float:
    r"""Difference of confidences: source accuracy less the fall in confidence; in [0, 1].

    .. math:: \frac1n \sum_i [\arg\max_k z_{ik} = y_i]
        - \Bigl( \overline{\max_k p_k(S)} - \overline{\max_k p_k(T)} \Bigr)

    Takes the gap between confidence and accuracy to be the source's: average confidence, corrected
    by it. Guillory et al., "Predicting with Confidence on Unseen Distributions", ICCV 2021, there
    also with a regression over known shifts. https://arxiv.org/abs/2107.03315
    Departure: clipped to [0, 1].

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    source = outputs["source"]
    accuracy = (source.logits.argmax(1) == source.y).double().mean().item()
    fall = ac({"target": source}) - ac(outputs)
    return min(max(accuracy - fall, 0.0), 1.0)
