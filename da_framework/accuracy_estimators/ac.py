"""Average confidence on the target."""

from collections.abc import Mapping

from da_framework.core.batch import Outputs


def ac(outputs: Mapping[str, Outputs]) -> float:
    r"""Average confidence: mean largest probability on the target; in [1/k, 1].

    .. math:: \frac1m \sum_i \max_k p_{ik}

    The accuracy of a model that is calibrated on the target. Hendrycks, Gimpel, "A Baseline for
    Detecting Misclassified and Out-of-Distribution Examples in Neural Networks", ICLR 2017.
    https://arxiv.org/abs/1610.02136

    Args:
        outputs: of the role ``target`` (labels hidden).
    """
    return outputs["target"].logits.double().softmax(1).amax(1).mean().item()
