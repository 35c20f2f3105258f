"""Certain predictions on the target."""

from collections.abc import Mapping

from da_framework.core.batch import Outputs, Term
from da_framework.losses.entropy import entropy
from da_framework.methods.ramped import RampedMethod


class EntropyMinimization(RampedMethod):
    r"""Entropy minimization: certain target predictions, and boundaries where there is little data.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \, r_p \, \frac1m \sum_i H(p_i), \qquad
        H(p) = -\sum_k p_k \log p_k

    Grandvalet, Bengio, "Semi-supervised Learning by Entropy Minimization", NeurIPS 2004.
    https://papers.nips.cc/paper/2740-semi-supervised-learning-by-entropy-minimization
    Departures: the unlabelled samples are another domain's; means over each role's samples, where
    the paper has sums over all; a ramp, without which the predictions of an untrained head are
    sharpened.
    Alone it gains nothing on either task of ``experiments/method_gains``: it sharpens whatever is
    predicted, mistakes as well, moves no feature towards the source, and is content with all
    samples in one class. Where predictions start right it keeps them so.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the entropy among the terms.
        ramp: r, a factor on the weight, as a function of progress.
    """

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        return {"entropy": self.ramped(entropy(target.logits))}
