"""Training on the source alone."""

from typing import ClassVar

from da_framework.methods.base import Method


class SourceOnly(Method):
    r"""Source only: the source's labels and nothing else, which every method must beat.

    .. math:: \min_{f,\, c} \; L_y(c \circ f)

    The target is never seen, not even by batch norm. Called "source only" in Ganin et al.,
    "Domain-Adversarial Training of Neural Networks", JMLR 2016, table 2.
    https://arxiv.org/abs/1505.07818
    """

    roles: ClassVar = ("source",)
    optional: ClassVar = ()
    baseline: ClassVar = True
