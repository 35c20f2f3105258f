"""Negative conditional entropy: what the source's classes leave open of the target's."""

from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import one_hot

from da_framework.metrics.transferability.indicators import indicators


def nce(predicted: Int[Tensor, " n"], *, y: Int[Tensor, " n"]) -> float:
    r"""Negative entropy of the label given the class that the source model predicts, in nats.

    .. math::
        -H(Y \mid Z) = \sum_{y, z} \hat P(y, z) \log \hat P(y \mid z), \qquad
        \hat P(y, z) = \frac1n \lvert \{ i : y_i = y, z_i = z \} \rvert

    In [-H(Y), 0], so never below -log k; 0 where the prediction tells the label. With a class of
    its own for every sample it is 0 as well: few samples flatter a source of many classes.

    Tran, Nguyen, Hassner, "Transferability and Hardness of Supervised Classification Tasks", ICCV
    2019. https://arxiv.org/abs/1908.08142
    Departure: the paper has labels of both tasks for every sample; here, as in LEEP's comparison,
    the source model's prediction stands for the source label.

    Args:
        predicted: z, the source model's classes, not negative.
        y: labels of the target task.

    Raises:
        InputError: labels are hidden or all equal.
    """
    joint = indicators(y).T @ one_hot(predicted).double() / len(y)
    # xlogy: what never happens together has no entropy, not NaN
    return float(joint.xlogy(joint).sum() - joint.sum(0).xlogy(joint.sum(0)).sum())
