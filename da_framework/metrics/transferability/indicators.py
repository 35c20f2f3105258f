"""Labels as columns of zeros and ones."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from da_framework.core.errors import InputError
from da_framework.core.labels import UNLABELLED


def indicators(y: Int[Tensor, " n"]) -> Float[Tensor, "n k"]:
    """A column for each of the k classes that some sample has, 1 where a sample is of it.

    Args:
        y: labels; their values do not matter, only which are equal.

    Raises:
        InputError: a label is hidden, or all are equal, of which any network knows everything.
    """
    if (y == UNLABELLED).any():
        raise InputError("a transferability score needs every label, but some are hidden")
    classes, index = torch.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise InputError("a transferability score needs rows of two classes at least")
    return one_hot(index).double()
