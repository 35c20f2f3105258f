"""The source model as it is."""

from da_framework.stream_methods.base import StreamMethod


class Source(StreamMethod):
    r"""The source model as it is: nothing is learnt, what every other method must not fall below.

    .. math:: \hat y = \arg\max_k p_k(x)

    It is the row "source" of every table of test-time adaptation, as in Wang et al., "Tent: Fully
    Test-Time Adaptation by Entropy Minimization", ICLR 2021. https://arxiv.org/abs/2006.10726
    Order and size of the batches change nothing.

    Args:
        model: a run's trained method.
    """
