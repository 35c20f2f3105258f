"""Source accuracy in the class shares under which the target is likeliest."""

from collections.abc import Mapping

from da_framework.core.batch import Outputs
from da_framework.metrics import label_shift


def mlls(outputs: Mapping[str, Outputs]) -> float:
    r"""Source accuracy of each class, weighted by the target's likeliest share of it; in [0, 1].

    .. math:: \sum_j q_j \, p_S(\hat y = j \mid y = j)

    with the shares :math:`q` of ``da_framework.metrics.label_shift.mlls``, of probabilities that
    are calibrated on the held-out source: the accuracy, where class shares alone have shifted.
    Saerens, Latinne, Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities: A Simple Procedure", Neural Computation 2002.
    https://doi.org/10.1162/089976602753284446

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    source, target = outputs["source"], outputs["target"]
    p_source, p_target = label_shift.calibrate(source.logits, source.y, target.logits)
    shares = label_shift.mlls(p_source, source.y, p_target)
    return label_shift.accuracy_in_shares(source.logits.argmax(1), source.y, shares)
