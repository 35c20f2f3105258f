"""Invariant variances of the gradients."""

from jaxtyping import Float
from torch import Tensor

from da_framework.core.batch import Outputs
from da_framework.losses.invariance import fishr, gradient_variances
from da_framework.methods.penalized_generalization import PenalizedGeneralization


class Fishr(PenalizedGeneralization):
    r"""Fishr: the gradients in the head's last layer vary alike in every source.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \, \frac1E \sum_e \lVert v_e - \bar v \rVert^2, \qquad
        v_e = \operatorname{Var}_{i \in e} \left[ (p_i - \mathbb 1_{y_i}) \otimes (f_i, 1) \right]

    Gradients that vary alike mean losses that curve alike. w is 1 at first and then large
    (``weight``: a step); once it is above 1 the whole loss is divided by it.

    Rame, Dancette, Cord, "Fishr: Invariant Gradient Variances for Out-of-Distribution
    Generalization", ICML 2022, eq. 4. https://arxiv.org/abs/2109.02934
    Departure: variances of this batch alone, as the paper has them for coloured digits; for larger
    benchmarks its code averages them over steps. The gradients are of the plain cross-entropy,
    whatever ``label_smoothing`` and ``class_weights`` say. The penalty is a difference of fourth
    powers of features: with their scale, the weight that suits it changes much.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the penalty; a number, or a function of progress.
        l2: of the squared norm of all weights, within what a large w divides.
    """

    def penalty(self, source: Outputs) -> Float[Tensor, ""]:
        *hidden, last = self.network.head
        features = source.features
        for layer in hidden:
            features = layer(features)
        # where a hidden layer has dropout, the logits are those of this very pass
        logits = last(features) if hidden else source.logits
        return fishr(gradient_variances(features, logits, source.y, source.domain))
