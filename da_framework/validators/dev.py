"""Deep embedded validation: the importance-weighted risk, its variance lowered."""

from collections.abc import Mapping

from da_framework.core.batch import Outputs
from da_framework.methods.reweighting.domain_classifier import domain_classifier


def dev(outputs: Mapping[str, Outputs]) -> float:
    r"""Deep embedded validation: minus the importance-weighted error, with a control variate.

    .. math:: -\left( \overline{w \ell} + \eta \, \overline{w} - \eta \right), \qquad
        \eta = -\frac{\mathrm{Cov}(w \ell, w)}{\mathrm{Var}(w)}

    Departures: the weights are those of a logistic regression on the very samples that are
    validated on, each judged by one that was fitted without it, where the paper trains a network
    on the training samples' features; the sign, so that higher is better.
    The loss is 1 where a held-out source sample is classified wrongly, else 0. The control variate
    may leave [-1, 0]. Fooled by features that the domain classifier cannot tell apart.
    You et al., "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation", ICML
    2019, algorithm 1. https://proceedings.mlr.press/v97/you19a.html

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
    """
    source = outputs["source"]
    errors = (source.logits.argmax(1) != source.y).double()
    w = domain_classifier(source.features, outputs["target"].features, degree=1)
    weighted = w * errors
    spread = w.var(unbiased=False)
    # equal weights control nothing
    covariance = ((weighted - weighted.mean()) * (w - w.mean())).mean()
    eta = -covariance / spread if spread > 0 else 0.0
    return -float(weighted.mean() + eta * w.mean() - eta)
