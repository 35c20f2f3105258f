"""Source accuracy in the class shares that explain how often the target's classes are predicted."""

from collections.abc import Mapping

from da_framework.core.batch import Outputs
from da_framework.label_shift_corrections.bbse import bbse as estimate_shares
from da_framework.metrics.label_shift import accuracy_in_shares


def bbse(outputs: Mapping[str, Outputs]) -> float:
    r"""Source accuracy of each class, weighted by the target's estimated share of it; in [0, 1].

    .. math:: \sum_j q_j \, p_S(\hat y = j \mid y = j)

    with the shares :math:`q` of ``da_framework.label_shift_corrections.bbse``, of predicted
    classes: the accuracy, where class shares alone have shifted. Lipton, Wang, Smola, "Detecting
    and Correcting for Label Shift with Black Box Predictors", ICML 2018.
    https://arxiv.org/abs/1802.03916

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    source, target = outputs["source"], outputs["target"]
    p_source, p_target = (side.logits.double().softmax(1) for side in (source, target))
    shares = estimate_shares(p_source, source.y, p_target, mode="hard").shares
    return accuracy_in_shares(source.logits.argmax(1), source.y, shares)
