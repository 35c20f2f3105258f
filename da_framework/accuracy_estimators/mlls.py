"""Source accuracy in the class shares under which the target is likeliest."""

from collections.abc import Mapping

from da_framework.core.batch import Outputs
from da_framework.metrics.label_shift import (
    BIAS_CORRECTED,
    LIKELIEST_SHARES,
    accuracy_in_shares,
    correct_label_shift,
)


def mlls(outputs: Mapping[str, Outputs]) -> float:
    r"""Source accuracy of each class, weighted by the target's likeliest share of it; in [0, 1].

    .. math:: \sum_j q_j \, p_S(\hat y = j \mid y = j)

    with the shares :math:`q` of ``da_framework.label_shift_corrections.em``, of probabilities that
    are calibrated on the held-out source: the accuracy, where class shares alone have shifted.
    Saerens, Latinne, Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities: A Simple Procedure", Neural Computation 2002.
    https://doi.org/10.1162/089976602753284446

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    source, target = outputs["source"], outputs["target"]
    calibrated = correct_label_shift(
        source.logits, source.y, target.logits, calibration=BIAS_CORRECTED
    )
    estimate = LIKELIEST_SHARES(calibrated.source.exp(), source.y, calibrated.target.exp())
    return accuracy_in_shares(source.logits.argmax(1), source.y, estimate.shares)
