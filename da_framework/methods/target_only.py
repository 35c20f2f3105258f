"""Training on the target's labels alone."""

from typing import ClassVar

from da_framework.methods.base import Method


class TargetOnly(Method):
    r"""Target only: the few labelled target samples alone; with all of them, the upper bound.

    .. math:: \min_{f,\, c} \; L_y(c \circ f) \text{ on the role target\_labelled}

    ``dataset.labels_per_class=all dataset.protocol=inductive`` is the row "train on target" of
    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, table 2.
    https://arxiv.org/abs/1505.07818
    """

    roles: ClassVar = ("target_labelled",)
    optional: ClassVar = ()
    baseline: ClassVar = True
