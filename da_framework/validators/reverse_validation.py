"""Reverse validation: accuracy on the source of what was learnt back from the target."""

from da_framework.validators.source_accuracy import source_accuracy
from da_framework.validators.validation import Validation


def reverse_validation(outputs: Validation) -> float:
    r"""Reverse validation: source accuracy of the model trained back from its target labels.

    .. math:: \frac{1}{|S_V|} \sum_{(x, y) \in S_V} [\eta_r(x) = y], \qquad
        \eta_r = A\bigl(\{(x, \eta(x)) : x \in T\}, \{x : x \in S\}\bigr)

    The model :math:`\eta` labels the target's training samples :math:`T`. From them, and with the
    source's training samples :math:`S` as the unlabelled target, the same algorithm :math:`A`
    learns :math:`\eta_r`, for as many steps as :math:`\eta` has had and from its weights. An
    evaluation thus costs as much as training did up to it: a few are enough. Fooled by a model that
    confuses classes on the target and still tells the source's apart when it learns its confusion
    back. Zhong et al., "Cross Validation Framework to Choose amongst Models and Datasets for
    Transfer Learning", ECML PKDD 2010; for networks, and from their weights, Ganin et al.,
    "Domain-Adversarial Training of Neural Networks", JMLR 2016, section 5.1.2.

    Args:
        outputs: with the model, which has one source and one target.
    """
    return source_accuracy({"source": outputs.reverse()})
