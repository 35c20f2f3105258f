"""Maximum mean discrepancy: how far apart two samples are in a kernel's feature space."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement, product
from math import prod
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

MMDEstimator = Literal["biased", "unbiased", "linear"]
Bandwidth = Literal["mean", "median", "fixed"]
Weight = Callable[[slice, slice], float | Tensor]
"""Of each pair of these rows with these columns: a matrix, or one number for all of them."""
_Pair = tuple[slice, slice, float | Tensor]

KERNEL_TILE = 512
"""Rows and columns of the kernel matrix that are there at a time."""
MEDIAN_ROWS = 4096
"""Samples up to which the median distance is taken of a whole matrix of distances."""
BLOCK_ROWS = 256
"""Rows of a larger one that are there at a time."""


def mmd(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    bandwidths: Float[Tensor, " b"],
    estimator: MMDEstimator = "biased",
    geometric_bandwidths: bool = False,
) -> Float[Tensor, ""]:
    r"""Squared maximum mean discrepancy under the mean of Gaussian kernels.

    .. math::
        \mathrm{MMD}^2 = \overline{k(S, S)} + \overline{k(T, T)} - 2\,\overline{k(S, T)}, \quad
        k(x, y) = \frac1B \sum_b \exp\left(-\frac{\lVert x - y \rVert^2}{2 \sigma_b^2}\right)

    ``biased`` averages over all pairs (eq. 5; between 0 and 2), ``unbiased`` leaves out each
    sample with itself (eq. 3; may be negative), ``linear`` walks once over neighbouring pairs of
    samples (lemma 14; O(n d), noisy, drops the samples one domain has more of).

    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012.
    https://jmlr.org/papers/v13/gretton12a.html
    Mean over kernels, so that their number does not change the scale; papers on deep networks sum.
    The kernel matrix is walked over in tiles, in O((n + m) d) memory, and the gradient is made on
    the way; only a second derivative has the whole matrix composed.

    Args:
        source, target: features of the two batches.
        bandwidths: the widths σ_b, in units of the features.
        estimator: ``biased``, ``unbiased`` or ``linear``.
        geometric_bandwidths: whether each width is √2 times the one before; the tiles then need a
            single exponential, of which the other kernels are squares.

    Raises:
        ValueError: fewer than two samples of a domain, for the estimators that need pairs within.
    """
    if estimator != "biased" and min(len(source), len(target)) < 2:
        raise ValueError(
            f"the {estimator} estimator of the MMD needs two rows of each domain, "
            f"but got {len(source)} and {len(target)}; the biased one takes any"
        )
    if estimator == "linear":
        return _linear(source, target, bandwidths)
    unbiased = estimator == "unbiased"
    return product_mmd(
        [source],
        [target],
        [bandwidths],
        unbiased=unbiased,
        geometric_bandwidths=geometric_bandwidths,
    )


def relative_mmd(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "m d"],
    *,
    policy: Bandwidth,
    factors: list[float],
    estimator: MMDEstimator,
) -> Float[Tensor, ""]:
    """The squared MMD with widths relative to these very features: ``bandwidths`` says how."""
    widths = bandwidths(source, target, policy=policy, factors=source.new_tensor(factors))
    return mmd(source, target, bandwidths=widths, estimator=estimator)


def product_mmd(
    source: Sequence[Float[Tensor, "n _"]],
    target: Sequence[Float[Tensor, "m _"]],
    bandwidths: Sequence[Float[Tensor, " _"]],
    *,
    unbiased: bool = False,
    geometric_bandwidths: bool = False,
) -> Float[Tensor, ""]:
    """Squared MMD under the product of the layers' kernels, each the mean of its own widths'."""
    n, m = len(source[0]), len(target[0])
    across = -1 / (n * m)
    table = [[1 / (n * (n - unbiased)), across], [across, 1 / (m * (m - unbiased))]]
    total = kernel_sum(
        source,
        target,
        bandwidths,
        lambda rows, columns: table[rows.start >= n][columns.start >= n],
        geometric_bandwidths=geometric_bandwidths,
    )
    # what a sample is to itself is 1, and has no gradient
    return total - (1 / (n - 1) + 1 / (m - 1)) if unbiased else total


def kernel_sum(
    source: Sequence[Float[Tensor, "n _"]],
    target: Sequence[Float[Tensor, "m _"]],
    bandwidths: Sequence[Float[Tensor, " _"]],
    weight: Weight,
    *,
    geometric_bandwidths: bool = False,
) -> Float[Tensor, ""]:
    r"""Sum over all pairs of samples of both domains, a tile at a time.

    .. math:: \sum_{ij} w_{ij} \prod_l k_l(z^l_i, z^l_j), \quad z = (S, T)

    Args:
        source, target: what each layer makes of the two batches, layer by layer.
        bandwidths: the widths σ of each layer's kernels, of which the mean is taken.
        weight: w, symmetric; asked of tiles that never straddle the border of the domains.
        geometric_bandwidths: whether each width is √2 times the one before.
    """
    with torch.autocast(source[0].device.type, enabled=False):
        return _Streaming.apply(bandwidths, weight, geometric_bandwidths, *source, *target)  # type: ignore[no-any-return]


def composed_sum(
    source: Sequence[Float[Tensor, "n _"]],
    target: Sequence[Float[Tensor, "m _"]],
    bandwidths: Sequence[Float[Tensor, " _"]],
    weight: Weight,
) -> Float[Tensor, ""]:
    """The sum over the whole kernel matrix at once, which autograd derives as often as asked."""
    layers = zip(source, target, bandwidths, strict=True)
    kernels = [
        gaussian(pairwise_squared_distances(torch.cat([s, t])), widths) for s, t, widths in layers
    ]
    kernel, n = prod(kernels[1:], start=kernels[0]), len(source[0])
    sides = slice(0, n), slice(n, len(kernel))
    blocks = [(weight(i, j) * kernel[i, j]).sum() for i, j in product(sides, sides)]
    return torch.stack(blocks).sum()


def gaussian(
    squared: Float[Tensor, "*pairs"], bandwidths: Float[Tensor, " b"]
) -> Float[Tensor, "*pairs"]:
    """Mean of the Gaussian kernels of these widths, at squared distances."""
    kernels = [torch.exp(-squared / (2 * width**2)) for width in bandwidths.to(squared.dtype)]
    return torch.stack(kernels).mean(0)


def pairwise_squared_distances(z: Float[Tensor, "rows d"]) -> Float[Tensor, "rows rows"]:
    """Squared Euclidean distances between all samples, the diagonal exactly 0.

    Samples are centred first: in single precision the Gram matrix of features far from the origin
    would cancel. Never in half precision, whatever autocast says.
    """
    with torch.autocast(z.device.type, enabled=False):
        z = _centred(z)
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
    r"""Widths σ_b of the Gaussian kernels, without gradient.

    .. math:: 2 \sigma_b^2 = f_b \cdot D, \quad D = \text{mean or median of } \lVert x - y \rVert^2

    over the pairs of different samples of both batches together; the mean has a closed form in
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
        centre = z.mean(0)
        squares = [(z[rows] - centre).square().sum() for rows in _tiles(0, len(z))]
        scale = 2 * torch.stack(squares).sum() / max(len(z) - 1, 1)
    else:
        scale = _median_squared_distance(z)
    # collapsed features have no distance: a floor keeps the kernel 1 and its gradient 0
    return (factors * scale.clamp_min(1e-12) / 2).sqrt()


def _median_squared_distance(z: Float[Tensor, "rows d"]) -> Float[Tensor, ""]:
    """Median squared distance of two different samples, the lower of two; exactly that.

    Beyond ``MEDIAN_ROWS`` the distances are made anew for each of the digits that the median is
    found by, a block of rows at a time: the whole matrix is never there.
    """
    if len(z) <= MEDIAN_ROWS:
        i, j = torch.triu_indices(len(z), len(z), offset=1, device=z.device)
        return pairwise_squared_distances(z)[i, j].median()
    with torch.autocast(z.device.type, enabled=False):
        z = _centred(z)
        norms = z.square().sum(1)
        single = z.dtype == torch.float32
        # numbers that are not negative are in the order of their bits as whole numbers
        kind, digits = (torch.int32, 2) if single else (torch.int64, 4)
        rank, found = (len(z) * (len(z) - 1) // 2 - 1) // 2, 0
        for digit in reversed(range(digits)):
            counts = torch.zeros(2**16, dtype=torch.int64, device=z.device)
            for start in range(0, len(z), BLOCK_ROWS):
                rows = slice(start, start + BLOCK_ROWS)
                squared = norms[rows, None] + norms[start:] - 2 * z[rows] @ z[start:].T
                squared = squared.clamp_min(0).abs()  # nor is it -0
                bits = squared.view(kind)[_above_diagonal(squared)]
                bits = bits[bits >> 16 * (digit + 1) == found] if digit < digits - 1 else bits
                counts += torch.bincount(bits >> 16 * digit & 0xFFFF, minlength=2**16)
            below = counts.cumsum(0)
            place = int((below <= rank).sum())
            rank -= int(below[place - 1]) if place else 0
            found = found << 16 | place
        return torch.tensor(found, dtype=kind, device=z.device).view(z.dtype)


def _above_diagonal(block: Tensor) -> Tensor:
    return torch.ones_like(block, dtype=torch.bool).triu(1)


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
    """The sum a tile at a time; the gradient is made beside it, so nothing else is kept.

    It is 4 Σ_j w_ij k'(z_i, z_j) (z_i - z_j), k' in terms of the layer's squared distance: the
    slope of its own kernel times the other layers' kernels. Where nobody asks for it, as in an
    evaluation, it is left out.
    """

    @staticmethod
    def forward(
        ctx: Any,
        bandwidths: Sequence[Tensor],
        weight: Weight,
        geometric_bandwidths: bool,
        *sides: Tensor,
    ) -> Tensor:
        source, target = _halves(sides)
        layers = [_centred(torch.cat(pair)) for pair in zip(source, target, strict=True)]
        n = len(source[0])
        norms = [z.square().sum(1) for z in layers]
        rates = [1 / (2 * widths.to(layers[0].dtype).square()) for widths in bandwidths]
        gradients = [torch.zeros_like(z) for z in layers]
        value, learning = layers[0].new_zeros(()), any(ctx.needs_input_grad)
        for rows, columns, weights in _pairs(n, layers[0], weight):
            kernels, slopes = [], []
            for z, norm, rate in zip(layers, norms, rates, strict=True):
                squared = norm[rows, None] + norm[None, columns]
                squared.addmm_(z[rows], z[columns].T, alpha=-2).clamp_min_(0)
                if rows == columns:
                    squared.fill_diagonal_(0)
                kernel, slope = _kernel_and_slope(squared, rate, geometric_bandwidths)
                kernels.append(kernel)
                slopes.append(slope)
            w = weights / prod(map(len, bandwidths))
            value += (1 if rows == columns else 2) * (kernels[0] * prod(kernels[1:], start=w)).sum()
            if not learning:
                continue
            for i, (z, gradient, slope) in enumerate(zip(layers, gradients, slopes, strict=True)):
                pull = slope.mul_(prod(kernels[:i] + kernels[i + 1 :], start=w))
                _attract(gradient[rows], pull, z[rows], z[columns])
                if rows != columns:
                    _attract(gradient[columns], pull.T, z[columns], z[rows])
        ctx.save_for_backward(*gradients, *sides)
        ctx.given = bandwidths, weight
        return value

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        number = len(ctx.saved_tensors) // 3
        gradients, sides = ctx.saved_tensors[:number], ctx.saved_tensors[number:]
        source, target = _halves(sides)
        if (
            torch.is_grad_enabled()
        ):  # it will be derived once more: the gradients kept are constants
            value = outer[0] * composed_sum(source, target, *ctx.given)
            learning = [x for x in sides if x.requires_grad]
            derived = iter(torch.autograd.grad(value, learning, create_graph=True))
            return None, None, None, *(next(derived) if x.requires_grad else None for x in sides)
        parts = [z[: len(s)] for z, s in zip(gradients, source, strict=True)]
        parts += [z[len(s) :] for z, s in zip(gradients, source, strict=True)]
        return None, None, None, *((outer[0] * g).to(x) for g, x in zip(parts, sides, strict=True))


def _halves(sides: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    return sides[: len(sides) // 2], sides[len(sides) // 2 :]


def _pairs(n: int, z: Tensor, weight: Weight) -> Iterator[_Pair]:
    """The kernel matrix's tiles on and above the diagonal, with their weights."""
    total = len(z)
    if total < KERNEL_TILE // 2:  # in one tile: what a small batch costs is the number of operators
        whole, sides = slice(0, total), (slice(0, n), slice(n, total))
        weights = z.new_empty(total, total)
        for rows, columns in product(sides, sides):
            weights[rows, columns] = weight(rows, columns)
        yield whole, whole, weights
        return
    for rows, columns in combinations_with_replacement(_tiles(0, n) + _tiles(n, total), 2):
        yield rows, columns, weight(rows, columns)


def _tiles(start: int, stop: int) -> list[slice]:
    return [slice(i, min(i + KERNEL_TILE, stop)) for i in range(start, stop, KERNEL_TILE)]


def _attract(gradient: Tensor, pull: Tensor, z: Tensor, others: Tensor) -> None:
    """Adds 4 Σ_j pull_ij (z_i - z_j)."""
    gradient.addcmul_(z, pull.sum(1, keepdim=True), value=4)
    gradient.addmm_(pull, others, alpha=-4)


def _kernel_and_slope(
    squared: Tensor, rates: Tensor, geometric_bandwidths: bool
) -> tuple[Tensor, Tensor]:
    """Sum of the kernels at squared distances, and its derivative; widest kernel first."""
    term = torch.exp(-rates[-1] * squared)
    kernel, slope = term.clone(), -rates[-1] * term
    for rate in rates.flip(0)[1:]:
        term = term.square_() if geometric_bandwidths else torch.exp(-rate * squared)
        kernel += term
        slope.addcmul_(term, -rate)
    return kernel, slope


def _centred(z: Tensor) -> Tensor:
    z = _at_least_single(z)
    return z - z.mean(0, keepdim=True).detach()


def _at_least_single(z: Tensor) -> Tensor:
    return z if z.dtype == torch.float64 else z.float()
