"""Maximum mean discrepancy of several layers' joint distribution."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from da_framework.losses.mmd import product_mmd


def joint_mmd(
    source: Sequence[Float[Tensor, "n _"]],
    target: Sequence[Float[Tensor, "m _"]],
    *,
    bandwidths: Sequence[Float[Tensor, " _"]],
) -> Float[Tensor, ""]:
    r"""Joint MMD: squared MMD under the product of the layers' kernels (biased: never negative).

    .. math::
        \overline{k(S, S)} + \overline{k(T, T)} - 2\,\overline{k(S, T)}, \qquad
        k(x, y) = \prod_l k_l(x^l, y^l)

    Each :math:`k_l` is the mean of Gaussian kernels of the layer's own widths. With one layer it is
    the MMD. Two domains whose layers are alike one by one, but not together, are apart.

    Long, Zhu, Wang, Jordan, "Deep Transfer Learning with Joint Adaptation Networks", ICML 2017.
    https://arxiv.org/abs/1605.06636

    Args:
        source, target: what each layer makes of the two batches, layer by layer.
        bandwidths: the widths σ of each layer's kernels, in units of the layer.
    """
    return product_mmd(source, target, bandwidths)
