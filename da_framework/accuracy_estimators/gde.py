"""Agreement of two runs on the target."""

from collections.abc import Mapping

from da_framework.core.batch import Outputs
from da_framework.core.errors import InputError


def gde(outputs: Mapping[str, Outputs]) -> float:
    r"""Generalisation disagreement: share of the target on which two runs agree; in [0, 1].

    .. math:: \frac1m \sum_i [\arg\max_k z_{ik} = \arg\max_k z'_{ik}]

    The accuracy where the runs of a method, which differ in the seed alone, are calibrated in the
    mean over seeds. Jiang et al., "Assessing Generalization of SGD via Disagreement", ICLR 2022.
    https://arxiv.org/abs/2106.13799

    Args:
        outputs: of the roles ``target`` (labels hidden) and ``target_second``, the same samples in
            the same order as a second run sees them.

    Raises:
        InputError: there are no outputs of a second run.
    """
    if "target_second" not in outputs:
        raise InputError(
            "accuracy_estimator=gde compares two runs of a method that differ in the seed alone: "
            "it needs the outputs of a second one"
        )
    first, second = (outputs[role].logits.argmax(1) for role in ("target", "target_second"))
    return (first == second).double().mean().item()
