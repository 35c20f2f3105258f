"""Whether two domains differ at all, whether their class shares explain it, and what remains."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.core.batch import Outputs
from da_framework.label_shift_corrections.bbse import bbse
from da_framework.losses.mmd import bandwidths, gaussian, pairwise_squared_distances
from da_framework.metrics.domain_distance import domain_accuracy
from da_framework.metrics.label_shift import (
    BIAS_CORRECTED,
    LIKELIEST_SHARES,
    ShareInterval,
    bootstrap_shares,
    correct_label_shift,
)

FEWEST = 20
"""Samples of a side that are tested at least."""


class TwoSampleTest(NamedTuple):
    """A statistic, and how often chance alone makes it as large or larger."""

    statistic: float
    p: float


class DomainTests(NamedTuple):
    """Two tests of whether source and target are drawn alike.

    Attributes:
        classifier: its statistic is the held-out accuracy.
        mmd: its statistic is the squared MMD.
        rows: samples of source and target.
    """

    classifier: TwoSampleTest
    mmd: TwoSampleTest
    rows: tuple[int, int]

    def differ(self, level: float) -> bool:
        """Whether a shift is seen: of two tests, each has half of the level (Bonferroni)."""
        return 2 * min(self.classifier.p, self.mmd.p) <= level


class Shift(NamedTuple):
    """What is to be known of a shift without a label of the target.

    Attributes:
        tests: of source against target.
        source_shares: class shares of the source; fractions of 1.
        shares: of the target, by ``em`` on calibrated probabilities, with intervals.
        bbse: of the target, by ``bbse``.
        remaining: the tests where the source is drawn in the shares of the target; none where too
            few samples are left.
    """

    tests: DomainTests
    source_shares: Float[Tensor, " k"]
    shares: ShareInterval
    bbse: Float[Tensor, " k"]
    remaining: DomainTests | None


def examine_shift(
    source: Outputs, target: Outputs, *, permutations: int, draws: int, seed: int = 0
) -> Shift:
    """Tests the features of two domains, estimates the target's shares, and tests what remains.

    Args:
        source: held-out samples with labels, which no classifier was fitted to.
        target: its labels are not read.
        permutations: of the test by MMD.
        draws: of the bootstrap.
        seed: of what is drawn.
    """
    k = source.logits.shape[1]
    calibrated = correct_label_shift(
        source.logits, source.y, target.logits, calibration=BIAS_CORRECTED
    )
    s, t = calibrated.source.exp(), calibrated.target.exp()
    shares = bootstrap_shares(LIKELIEST_SHARES, s, source.y, t, draws=draws, seed=seed)
    rows = draw_in_shares(source.y, shares.shares, seed=seed)
    drawn = source.features[rows.to(source.features.device)]
    return Shift(
        compare_domains(source.features, target.features, permutations=permutations, seed=seed),
        torch.bincount(source.y, minlength=k).double() / len(source.y),
        shares,
        bbse(s, source.y, t, mode="hard").shares,
        compare_domains(drawn, target.features, permutations=permutations, seed=seed)
        if len(rows) >= FEWEST
        else None,
    )


def compare_domains(
    source: Float[Tensor, "n d"], target: Float[Tensor, "m d"], *, permutations: int, seed: int
) -> DomainTests:
    """Both tests of whether two samples are of one distribution."""
    return DomainTests(
        classifier_test(source, target),
        mmd_test(source, target, permutations=permutations, seed=seed),
        (len(source), len(target)),
    )


def classifier_test(source: Float[Tensor, "n d"], target: Float[Tensor, "m d"]) -> TwoSampleTest:
    r"""Classifier two-sample test: can a linear classifier tell held-out samples apart?

    .. math:: p = P\left( B \ge h \right), \qquad B \sim \mathrm{Binomial}(2 \lfloor r/2 \rfloor,
        \tfrac12), \quad r = \min(n, m)

    h of the held-out samples, as many of either side, are told rightly by ``domain_accuracy``,
    which is fitted to the others. Of equal distributions they are told rightly half the time in the
    mean, at most as scattered as the binomial (Hoeffding, "On the Distribution of the Number of
    Successes in Independent Trials", Annals of Mathematical Statistics 1956): the level is kept for
    any number of samples. Samples must be independent: copies and neighbours within a series are
    not. Sees what shifts means along some direction; the rest is for ``mmd_test``.
    Lopez-Paz, Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017.
    https://arxiv.org/abs/1610.06545

    Args:
        source, target: features; of the larger side as many are drawn as the smaller has.
    """
    from scipy.stats import binom

    rows = min(len(source), len(target))
    held_out = 2 * (rows // 2)
    accuracy = domain_accuracy(source, target, rows=rows)
    right = round(accuracy * held_out)
    return TwoSampleTest(accuracy, float(binom.sf(right - 1, held_out, 0.5)))


def mmd_test(
    source: Float[Tensor, "n d"], target: Float[Tensor, "m d"], *, permutations: int, seed: int
) -> TwoSampleTest:
    r"""Permutation test of the squared MMD: is it larger than where the sides are drawn by lot?

    .. math:: p = \frac{1 + \#\{b : \mathrm{MMD}^2_b \ge \mathrm{MMD}^2\}}{1 + B}

    The level is exact for any number of samples. Five Gaussian kernels around the mean squared
    distance, biased estimate, as ``domain_mmd``. Gretton et al., "A Kernel Two-Sample Test", JMLR
    2012. https://jmlr.org/papers/v13/gretton12a.html

    Args:
        source, target: features; the kernel's matrix is of all of them.
        permutations: B.
        seed: of the permutations.
    """
    n, m = len(source), len(target)
    z = torch.cat([source, target])
    # the widths follow the unit, so it may be any: in this one, no square overflows
    z = z / z.abs().max().clamp_min(torch.finfo(z.dtype).tiny)
    factors = z.new_tensor([0.25, 0.5, 1.0, 2.0, 4.0])
    widths = bandwidths(z[:n], z[n:], policy="mean", factors=factors)
    kernel = gaussian(pairwise_squared_distances(z), widths)
    sides = torch.cat([torch.full((n,), 1 / n), torch.full((m,), -1 / m)])
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(n + m, generator=generator) for _ in range(permutations)]
    columns = torch.stack([sides, *(sides[order] for order in orders)], 1).to(kernel)
    values = (columns * (kernel @ columns)).sum(0)
    # equal ones differ by rounding
    as_large = values[1:] >= values[0] - 1e-6 * values.abs().max()
    return TwoSampleTest(values[0].item(), (1 + int(as_large.sum())) / (1 + permutations))


def draw_in_shares(
    y: Int[Tensor, " n"], shares: Float[Tensor, " k"], *, seed: int
) -> Int[Tensor, " rows"]:
    """Samples drawn without replacement whose classes have these shares, as many as there can be.

    Args:
        y: labels.
        shares: of the classes; one without a sample is left out.
        seed: of the draw.
    """
    counts = torch.bincount(y, minlength=len(shares)).double().cpu()
    shares = torch.where(counts > 0, shares.double().cpu(), 0.0)
    wanted = shares > 1 / max(len(y), 1)  # a smaller share is of no sample
    if not wanted.any():
        return torch.arange(0)
    total = (counts[wanted] / shares[wanted]).min()
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for label, share in enumerate(shares.tolist()):
        members = (y == label).nonzero()[:, 0].cpu()
        number = min(round(share * float(total)), len(members))
        drawn.append(members[torch.randperm(len(members), generator=generator)[:number]])
    return torch.cat(drawn).sort().values
