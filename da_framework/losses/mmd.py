"""Maximum mean discrepancy: how far apart two samples are in a kernel's feature space."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

Estimator = Literal["biased", "unbiased", "linear"]
Bandwidth = Literal["mean", "median", "fixed"]

DENSE = 512
"""Rows of both domains up to which the whole kernel matrix is the faster form."""
TILE = 512
"""Rows and columns of the kernel matrix that are there at a time in larger batches."""


def mmd(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    bandwidths: Float[Tensor, " b"],
    estimator: Estimator = "biased",
    ladder: bool = False,
) -> Float[Tensor, ""]:
    r"""Squared maximum mean discrepancy under the mean of Gaussian kernels.

    .. math::
        \mathrm{MMD}^2 = \overline{k(S, S)} + \overline{k(T, T)} - 2\,\overline{k(S, T)}, \quad
        k(x, y) = \frac1B \sum_b \exp\left(-\frac{\lVert x - y \rVert^2}{2 \sigma_b^2}\right)

    ``biased`` averages over all pairs (eq. 5; between 0 and 2), ``unbiased`` leaves out each
    row with itself (eq. 3; may be negative), ``linear`` walks once over neighbouring pairs of rows
    (lemma 14; O(n d), noisy, drops the rows one domain has more of).

    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012.
    https://jmlr.org/papers/v13/gretton12a.html
    Mean over kernels, so that their number does not change the scale; papers on deep networks sum.
    Batches of more than 512 rows in all are walked over in tiles, in O((n + m) d) memory; that form
    has a first derivative alone.

    Args:
        source, target: features of the two batches.
        bandwidths: the widths σ_b, in units of the features.
        estimator: ``biased``, ``unbiased`` or ``linear``.
        ladder: whether each width is √2 times the one before; the tiles then need a single
            exponential, of which the other kernels are squares.

    Raises:
        ValueError: fewer than two rows of a domain, for the estimators that need pairs within.
    """
    if estimator != "biased" and min(len(source), len(target)) < 2:
        raise ValueError(
            f"the {estimator} estimator of the MMD needs two rows of each domain, "
            f"but got {len(source)} and {len(target)}; the biased one takes any"
        )
    if estimator == "linear":
        return _linear(source, target, bandwidths)
    n, unbiased = len(source), estimator == "unbiased"
    if n + len(target) > DENSE:
        return _Streaming.apply(source, target, bandwidths, unbiased, ladder)  # type: ignore[no-any-return]
    kernel = gaussian(squared_distances(torch.cat([source, target])), bandwidths)
    within = _mean_pair(kernel[:n, :n], estimator) + _mean_pair(kernel[n:, n:], estimator)
    return within - 2 * kernel[:n, n:].mean()


def relative_mmd(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    policy: Bandwidth,
    factors: list[float],
    estimator: Estimator,
) -> Float[Tensor, ""]:
    """The same with widths relative to these very features: ``bandwidths`` says how."""
    widths = bandwidths(source, target, policy=policy, factors=source.new_tensor(factors))
    return mmd(source, target, bandwidths=widths, estimator=estimator)


def gaussian(
    squared: Float[Tensor, "*pairs"], bandwidths: Float[Tensor, " b"]
) -> Float[Tensor, "*pairs"]:
    """Mean of the Gaussian kernels of these widths, at squared distances."""
    kernels = [torch.exp(-squared / (2 * width**2)) for width in bandwidths.to(squared.dtype)]
    return torch.stack(kernels).mean(0)


def squared_distances(z: Float[Tensor, "rows d"]) -> Float[Tensor, "rows rows"]:
    """Squared Euclidean distances between all rows, the diagonal exactly 0.

    Rows are centred first: in single precision the Gram matrix of features far from the origin
    would cancel. Never in half precision, whatever autocast says.
    """
    with torch.autocast(z.device.type, enabled=False):
        z = _at_least_single(z)
        z = z - z.mean(0, keepdim=True).detach()
        norms = z.square().sum(1)
        squared = (norms[:, None] + norms[None, :] - 2 * z @ z.T).clamp_min(0)
        return squared.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), 0.0)


def bandwidths(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    policy: Bandwidth,
    factors: Float[Tensor, " b"],
) -> Float[Tensor, " b"]:
    r"""Widths σ_b of the kernels, without gradient.

    .. math:: 2 \sigma_b^2 = f_b \cdot D, \quad D = \text{mean or median of } \lVert x - y \rVert^2

    over the pairs of different rows of both batches together; the mean has a closed form in
    O((n+m) d).

    Args:
        source, target: features of the two batches.
        policy: ``mean`` or ``median`` squared distance, or ``fixed``: the factors are the widths.
        factors: f_b, or the widths σ_b themselves.
    """
    if policy == "fixed":
        return factors
    z = _at_least_single(torch.cat([source, target]).detach())
    if policy == "mean":
        scale = 2 * (z - z.mean(0)).square().sum() / max(len(z) - 1, 1)
    else:
        i, j = torch.triu_indices(len(z), len(z), offset=1, device=z.device)
        scale = squared_distances(z)[i, j].median()
    # collapsed features have no distance: a floor keeps the kernel 1 and its gradient 0
    return (factors * scale.clamp_min(1e-12) / 2).sqrt()


def _mean_pair(kernel: Float[Tensor, "n n"], estimator: Estimator) -> Float[Tensor, ""]:
    n = len(kernel)
    if estimator == "biased":
        return kernel.mean()
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))


def _linear(
    source: Float[Tensor, "n d"], target: Float[Tensor, "m d"], bandwidths: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    source, target = _at_least_single(source), _at_least_single(target)
    pairs = min(len(source), len(target)) // 2
    s1, s2 = source[: 2 * pairs : 2], source[1 : 2 * pairs : 2]
    t1, t2 = target[: 2 * pairs : 2], target[1 : 2 * pairs : 2]
    distances = [(a - b).square().sum(1) for a, b in ((s1, s2), (t1, t2), (s1, t2), (s2, t1))]
    ss, tt, st, ts = gaussian(torch.stack(distances), bandwidths).unbind()
    return (ss + tt - st - ts).mean()


class _Streaming(torch.autograd.Function):
    """The same value a tile at a time; the gradient is made beside it, so nothing is kept.

    With weights w of the pairs (1/n², 1/m², -1/nm) the value is the sum of w_ij k(z_i, z_j), and
    its gradient 4 Σ_j w_ij k'(z_i, z_j) (z_i - z_j), k' in terms of the squared distance; where
    nobody asks for it, as in an evaluation, it is left out.
    """

    @staticmethod
    def forward(
        ctx: Any,
        source: Tensor,
        target: Tensor,
        bandwidths: Tensor,
        unbiased: bool,
        ladder: bool,
    ) -> Tensor:
        n, m = len(source), len(target)
        learning = any(ctx.needs_input_grad)
        with torch.autocast(source.device.type, enabled=False):
            z = _at_least_single(torch.cat([source, target]))
            z = z - z.mean(0, keepdim=True)
            norms, gradient = z.square().sum(1), torch.zeros_like(z)
            rates = 1 / (2 * bandwidths.to(z.dtype).square())
            own = {0: 1 / (n * (n - unbiased)), 1: 1 / (m * (m - unbiased))}
            # what a row is to itself is 1, and has no gradient
            value = -float(unbiased) * (n * own[0] + m * own[1]) * z.new_ones(())
            # a tile never straddles the border of the domains: its pairs weigh the same
            tiles = [(rows, 0) for rows in _tiles(0, n)] + [(rows, 1) for rows in _tiles(n, n + m)]
            for number, (rows, side) in enumerate(tiles):
                for columns, other in tiles[number:]:
                    weight = own[side] if side == other else -1 / (n * m)
                    squared = norms[rows, None] + norms[None, columns]
                    squared.addmm_(z[rows], z[columns].T, alpha=-2).clamp_min_(0)
                    if rows == columns:
                        squared.fill_diagonal_(0)
                    kernel, slope = _kernel_and_slope(squared, rates, ladder)
                    value += (weight if rows == columns else 2 * weight) * kernel.sum()
                    if not learning:
                        continue
                    pull = slope.mul_(4 * weight)
                    gradient[rows].addcmul_(z[rows], pull.sum(1, keepdim=True))
                    gradient[rows].addmm_(pull, z[columns], alpha=-1)
                    if rows != columns:
                        gradient[columns].addcmul_(z[columns], pull.sum(0)[:, None])
                        gradient[columns].addmm_(pull.T, z[rows], alpha=-1)
        ctx.save_for_backward(gradient.to(source.dtype))
        ctx.n = n
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        gradient = gradient * gradients[0].to(gradient.dtype)
        return gradient[: ctx.n], gradient[ctx.n :], None, None, None


def _tiles(start: int, stop: int) -> list[slice]:
    return [slice(i, min(i + TILE, stop)) for i in range(start, stop, TILE)]


def _kernel_and_slope(squared: Tensor, rates: Tensor, ladder: bool) -> tuple[Tensor, Tensor]:
    """Mean of the kernels at squared distances, and its derivative; widest kernel first."""
    one = torch.exp(-rates[-1] * squared)
    kernel, slope = one.clone(), -rates[-1] * one
    for rate in rates.flip(0)[1:]:
        one = one.square_() if ladder else torch.exp(-rate * squared)
        kernel += one
        slope.addcmul_(one, -rate)
    return kernel.div_(len(rates)), slope.div_(len(rates))


def _at_least_single(z: Tensor) -> Tensor:
    return z if z.dtype == torch.float64 else z.float()
