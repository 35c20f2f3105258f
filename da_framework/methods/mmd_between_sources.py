"""Alignment of the sources by the maximum mean discrepancy."""

from da_framework.methods.between_sources import BetweenSources
from da_framework.methods.mmd import MMD


class MMDBetweenSources(BetweenSources, MMD):
    r"""Maximum mean discrepancy between sources: features of the same mean under many kernels.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + \frac{w \, r_p}{\lvert P \rvert} \sum_{(a, b) \in P}
        \mathrm{MMD}_k^2 (f(S_a), f(S_b))

    Li, Pan, Wang, Kot, "Domain Generalization with Adversarial Feature Learning", CVPR 2018, eq. 6,
    its discrepancy between all pairs P of sources alone, without autoencoder and prior, as in
    Gulrajani, Lopez-Paz, "In Search of Lost Domain Generalization", ICLR 2021.
    https://arxiv.org/abs/2007.01434
    Departures: a ramp; widths of the kernels relative to the batch.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the discrepancy among the terms.
        ramp: r, a factor on the weight, as a function of progress.
        estimator: ``biased``, ``unbiased`` or ``linear``.
        bandwidth: what the kernels' widths are relative to: the ``mean`` or ``median`` squared
            distance of the pair's samples, or ``fixed``: the factors are the widths.
        factors: of the kernels.
    """
