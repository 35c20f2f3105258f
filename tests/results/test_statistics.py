"""The statistics of cells."""

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from da_framework.results.cells import Cell, differing_keys
from da_framework.results.record_schema import schema_error
from da_framework.results.statistics import (
    accuracy_curve,
    describe_negative_transfer,
    holm_correction,
    last_diagnosis,
    mean_over_seeds,
    named_figures,
    paired_gains,
    paired_test,
)
from tests.run_records import table_record


def pair(method: str) -> tuple[Cell, Cell]:
    return Cell("a → b", method, "", method, None), Cell("a → b", "base", "", "base", None)


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
    alone = stats.ttest_rel(ours, base)
    (gain,) = paired_gains({pair("x"): points}).values()
    assert (gain.mean, gain.worst) == pytest.approx((20 / 3, 1.0))
    assert gain.p == pytest.approx(alone.pvalue)
    # the interval is that of the same test
    assert gain.half == pytest.approx(gain.mean - alone.confidence_interval(0.95).low)
    assert str(gain) == "+6.7 ± 12.3 (worst +1.0), p = .144, n = 3"
    both = paired_gains({pair("x"): points, pair("y"): [1.0, -1.0, 0.5]})
    assert both[pair("x")].p == pytest.approx(2 * alone.pvalue)


@pytest.mark.parametrize("points", [[3.0], [3.0, 5.0], [3.0, 3.0, 3.0], [0.0, 0.0, 0.0]])
def test_few_seeds_or_such_without_a_spread_are_not_tested(points: list[float]) -> None:
    gains = paired_gains({pair("x"): points, pair("y"): [1.0, 2.0, 4.0]})
    assert gains[pair("x")].p is None
    # nor are they counted among the tests
    assert gains[pair("y")].p == pytest.approx(stats.ttest_1samp([1, 2, 4], 0).pvalue)


def test_under_three_seeds_there_are_the_values_and_no_interval() -> None:
    assert str(mean_over_seeds([0.7])) == "70.0"
    assert str(mean_over_seeds([0.7, 0.6])) == "65.0 (70.0, 60.0)"
    assert mean_over_seeds([0.7, 0.6]).half is None
    gains = paired_gains({pair("x"): [20.0, -2.0], pair("y"): [-3.0]})
    assert [str(gain) for gain in gains.values()] == ["+9.0 (+20.0, -2.0), n = 2", "-3.0, n = 1"]


def test_a_small_p_is_said_to_be_small() -> None:
    (gain,) = paired_gains({pair("x"): [10.0, 10.01, 10.02]}).values()
    assert "p < .001, n = 3" in str(gain)
    assert gain.p is not None
    assert math.isfinite(gain.p)


def described(**gains: list[float]) -> str:
    tested = paired_gains({pair(name): points for name, points in gains.items()})
    return describe_negative_transfer({own: gain for (own, _), gain in tested.items()})


def test_negative_transfer_is_what_the_paired_test_says() -> None:
    assert described(lower=[-5.0, -5.2, -5.1]) == "yes: below `lower` by 5.1"
    assert described(lower=[-9.0, 4.0, -1.0]) == "below `lower` by 2.0, not significant"
    # of too few seeds, or without any spread, nothing is tested: no more is said than there is
    assert described(lower=[-9.0, -9.1]) == "below `lower` by 9.1, not tested"
    assert described(lower=[-9.0] * 3) == "below `lower` by 9.0, not tested"
    assert described(lower=[0.0, 0.0, 1.0], upper=[2.0]) == "no"
    assert described() == ""
    both = described(lower=[-5.0, -5.2, -5.1], upper=[-1.0, -4.0, -0.1])
    assert both == "yes: below `lower` by 5.1; below `upper` by 1.7, not significant"


def test_the_keys_that_differ() -> None:
    assert differing_keys([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}]) == ["b", "c"]


def test_a_figure_that_is_null_is_none_of_the_diagnosis() -> None:
    curve = [{"step": 0, "diagnosis/spread": None, "diagnosis/majority": 1.0}]
    record: Any = {**table_record(), "curve": curve}
    assert last_diagnosis(record) == {"majority": 1.0}
    assert schema_error(record) == ""


@pytest.mark.parametrize("value", ["wide", [1.0], {}, True])
def test_a_figure_of_the_curve_is_a_number(value: Any) -> None:
    record: Any = table_record()
    error = schema_error({**record, "curve": [{"step": 0, "diagnosis/spread": value}]})
    assert error.startswith("curve.0: ")
    assert error.endswith("diagnosis/spread is no number")


def test_a_whole_figure_of_the_curve_is_read_as_any_other() -> None:
    curve = [{"step": 0, "oracle/accuracy": 0, "source/accuracy": 1}]
    record: Any = {**table_record(), "curve": curve}
    assert accuracy_curve(record) == [(0, 0.0)]
    assert named_figures(record["curve"][0], "source/") == {"accuracy": 1.0}


@given(st.lists(st.floats(-50, 50), min_size=3, max_size=12))
def test_the_paired_test_is_that_of_scipy(points: list[float]) -> None:
    assume(max(points) - min(points) > 1e-6)
    expected = stats.ttest_1samp(points, 0.0).pvalue
    assert paired_test(points) == pytest.approx(expected, rel=1e-6, abs=1e-12)
