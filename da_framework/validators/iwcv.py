"""Source accuracy, weighted by how much a sample looks like the target."""

from collections.abc import Mapping

from da_framework.core.batch import Outputs
from da_framework.methods.reweighting.domain_classifier import domain_classifier


def iwcv(outputs: Mapping[str, Outputs]) -> float:
    r"""Importance-weighted cross-validation: source accuracy, weighted by the density ratio.

    .. math:: \frac1n \sum_i w(x_i) \, [\arg\max_k z_{ik} = y_i], \qquad
        w(x) = \frac{p_T(x)}{p_S(x)}

    Sugiyama, Krauledat, Müller, "Covariate Shift Adaptation by Importance Weighted Cross
    Validation", JMLR 2007. https://jmlr.org/papers/v8/sugiyama07a.html
    Departure: weights are scaled to mean 1, so that the score is in [0, 1].

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    source = outputs["source"]
    hits = (source.logits.argmax(1) == source.y).double()
    w = domain_classifier(source.features, outputs["target"].features, degree=1)
    return float((w * hits).sum() / w.sum())
