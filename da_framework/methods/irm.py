"""Invariant risk minimisation."""

from jaxtyping import Float
from torch import Tensor

from da_framework.core.batch import Outputs
from da_framework.losses.invariance import irm_penalty
from da_framework.methods.penalized_generalization import PenalizedGeneralization


class IRM(PenalizedGeneralization):
    r"""Invariant risk minimisation: features for which one classifier is the best in every source.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + \frac{w}{E} \sum_e
        \left( \frac{\partial R_e(s \cdot c \circ f)}{\partial s} \Big|_{s = 1} \right)^2

    The penalty (IRMv1) is the squared gradient of a source's risk in a scale of the logits. w is 1
    at first and then large (``weight``: a step); once it is above 1 the whole loss is divided by
    it.

    Arjovsky, Bottou, Gulrajani, Lopez-Paz, "Invariant Risk Minimization", 2019.
    https://arxiv.org/abs/1907.02893
    A late and large penalty is what it lives of, and hard to place: without target labels nothing
    says where. On benchmarks chosen by held-out source it equals training on the sources alone
    (Gulrajani, Lopez-Paz, "In Search of Lost Domain Generalization", ICLR 2021). On small batches
    the squared mean is biased upwards; the penalty is of the plain cross-entropy, whatever
    ``label_smoothing`` and ``class_weights`` say.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the penalty; a number, or a function of progress.
        l2: of the squared norm of all weights, within what a large w divides.
    """

    def penalty(self, source: Outputs) -> Float[Tensor, ""]:
        return irm_penalty(source.logits, source.y, source.domain)
