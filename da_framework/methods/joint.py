"""The weighted joint loss over source and a few labelled target samples."""

from typing import ClassVar

from da_framework.methods.base import Method


class Joint(Method):
    r"""Joint training: the source and a few labelled target samples under one weighted loss.

    .. math:: \min_{f,\, c} \; \alpha L_y^{S}(c \circ f) + (1 - \alpha) L_y^{T}(c \circ f)

    α trades the many samples of the wrong domain for the few of the right one: Ben-David et al.,
    "A theory of learning from different domains", Machine Learning 2010, section 6, minimise this
    combination (α there is the target's share). https://doi.org/10.1007/s10994-009-5152-4
    """

    roles: ClassVar = ("source", "target_labelled")
    optional: ClassVar = ()
