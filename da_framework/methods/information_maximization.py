"""Certain and yet diverse predictions on the target."""

from collections.abc import Mapping

from da_framework.core.batch import Outputs, Term
from da_framework.losses.information import negative_mutual_information
from da_framework.methods.ramped import RampedMethod


class InformationMaximization(RampedMethod):
    r"""Information maximization: target predictions that are each certain and together diverse.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) - w \, r_p \left( H(\bar p) - \frac1m \sum_i H(p_i) \right),
        \qquad \bar p = \frac1m \sum_i p_i

    Entropy alone is least where one class takes all samples; the marginal's entropy forbids it.

    Shi, Sha, "Information-Theoretical Learning of Discriminative Clusters for Unsupervised Domain
    Adaptation", ICML 2012. https://arxiv.org/abs/1206.6438
    Departures: predictions are those of the head that learns from the source's labels, where the
    paper's come from soft nearest neighbours in a linear projection; the marginal is the
    batch's; the paper's term on the information of input and domain is left to methods that
    align. So it is used by Liang et al., "Do We Really Need to Access the Source Data?", ICML 2020
    (https://arxiv.org/abs/2002.08546), there without source data.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the mutual information among the terms.
        ramp: r, a factor on the weight, as a function of progress.
    """

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        value = negative_mutual_information(target.logits)
        return {"information": self.ramped(value)}
