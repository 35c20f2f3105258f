"""The statistics of cells."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from da_framework.results.statistics import Cell, differing_keys, holm_correction, paired_gains


def cell(method: str) -> Cell:
    return Cell("a → b", method, "", method, None)


def test_holm_multiplies_by_the_tests_that_are_left_and_keeps_the_order() -> None:
    # .01 * 4, .02 * 3; .03 * 2 is no less than those before; .04 must not fall below .06
    assert holm_correction([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm_correction([0.9, 0.8]) == [1.0, 1.0]
    assert holm_correction([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_no_correction_and_bonferroni_s(p: list[float]) -> None:
    for raw, corrected in zip(p, holm_correction(p), strict=True):
        assert raw <= corrected <= min(1.0, len(p) * raw) + 1e-12


def test_a_gain_is_tested_in_pairs_and_corrected_for_the_others() -> None:
    ours, base = [70.0, 72.0, 75.0], [60.0, 71.0, 66.0]
    points = [a - b for a, b in zip(ours, base, strict=True)]
    alone = stats.ttest_rel(ours, base).pvalue
    (gain,) = paired_gains({cell("x"): points}).values()
    assert (gain.mean, gain.worst) == pytest.approx((20 / 3, 1.0))
    assert gain.p == pytest.approx(alone)
    assert str(gain) == f"+6.7 (+1.0), p = {alone:.3f}".replace(" 0.", " .")
    both = paired_gains({cell("x"): points, cell("y"): [1.0, -1.0, 0.5]})
    assert both[cell("x")].p == pytest.approx(2 * alone)


@pytest.mark.parametrize("points", [[3.0], [3.0, 3.0], [0.0, 0.0, 0.0]])
def test_without_a_spread_nothing_is_tested(points: list[float]) -> None:
    gains = paired_gains({cell("x"): points, cell("y"): [1.0, 2.0, 4.0]})
    assert gains[cell("x")].p is None
    # nor is it counted among the tests
    assert gains[cell("y")].p == pytest.approx(stats.ttest_1samp([1, 2, 4], 0).pvalue)


def test_a_small_p_is_said_to_be_small() -> None:
    (gain,) = paired_gains({cell("x"): [10.0, 10.01, 10.02]}).values()
    assert str(gain).endswith("p < .001")
    assert gain.p is not None
    assert math.isfinite(gain.p)


def test_the_keys_that_differ() -> None:
    assert differing_keys([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}]) == ["b", "c"]
