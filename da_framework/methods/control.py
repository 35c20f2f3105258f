"""Source-only training with the target passed through."""

from da_framework.methods.base import Method


class Control(Method):
    r"""Control: source-only training whose batch norm sees the target, which is in no loss.

    .. math:: \min_{f,\, c} \; L_y(c \circ f)

    An alignment method at weight 0: it parts what batch norm does, whose statistics see the
    target, from what alignment does. The effect is that of Li et al., "Revisiting Batch
    Normalization For Practical Domain Adaptation", 2016. https://arxiv.org/abs/1603.04779
    """
