"""How near the features of the two domains are."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from da_framework.core.batch import Outputs
from da_framework.core.types import Positive
from da_framework.losses.mmd import relative_mmd


def mmd(
    outputs: Mapping[str, Outputs], *, factors: Annotated[list[Positive], Field(min_length=1)]
) -> float:
    r"""Negative squared maximum mean discrepancy between the features of source and target.

    .. math:: -\mathrm{MMD}_k^2(f(S), f(T))

    In [-2, 0]. Fooled by features that have collapsed, which are no distance apart.
    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012.
    https://jmlr.org/papers/v13/gretton12a.html

    Args:
        outputs: of the roles ``source`` (labelled) and ``target`` (labels hidden).
        factors: of the kernels' squared widths, relative to the mean squared distance.
    """
    source, target = outputs["source"].features, outputs["target"].features
    value = relative_mmd(source, target, policy="mean", factors=factors, estimator="biased")
    return -value.item()
