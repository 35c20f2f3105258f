"""Ranks of methods over tasks, against a published example and scipy."""

import numpy as np
import pytest
from scipy import stats

from da_framework.results.ranks import (
    Ranks,
    critical_difference,
    rank_methods,
    rank_rows,
    render_ranks,
    task_ranks,
)
from da_framework.results.statistics import compare_runs
from tests.run_records import table_record

# AUC of C4.5 with m, cf or both tuned, on 14 data sets: Demšar 2006, table 6; on the last but one,
# where .975 is printed twice, the ranks printed beside it are 2 and 3
DEMSAR = {
    "C4.5": "763 599 954 628 882 936 661 583 775 1000 940 619 972 957",
    "C4.5+m": "768 591 971 661 888 931 668 583 838 1000 962 666 981 978",
    "C4.5+cf": "771 590 968 654 886 916 609 563 866 1000 965 614 975 946",
    "C4.5+m+cf": "798 569 967 657 898 931 685 625 875 1000 962 669 974.9 970",
}
SCORES = {
    name: {f"task {n}": float(value) / 1000 for n, value in enumerate(values.split())}
    for name, values in DEMSAR.items()
}
TASKS = [f"task {n}" for n in range(14)]


def ranked(*names: str, tasks: int = 14) -> Ranks:
    ranks = rank_methods({name: SCORES[name] for name in names or SCORES}, TASKS[:tasks])
    assert ranks is not None
    return ranks


def test_a_published_example_gives_the_published_ranks_and_distance() -> None:
    ranks = ranked()
    assert ranks.names == ("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")
    assert ranks.means == pytest.approx((1.964, 2.000, 2.893, 3.143), abs=5e-4)
    assert ranks.distance == pytest.approx(1.25, abs=5e-3)
    # the paper's 9.28 is without the correction for ties, which scipy's has
    means = np.array(ranks.means)
    plain = 12 * 14 / (4 * 5) * ((means**2).sum() - 4 * 25 / 4)
    assert plain == pytest.approx(9.28, abs=5e-3)
    table = np.array([[SCORES[name][task] for name in SCORES] for task in TASKS])
    ties = sum(
        (counts**3 - counts).sum()
        for counts in (np.unique(ranks, return_counts=True)[1] for ranks in task_ranks(table))
    )
    assert ranks.statistic == pytest.approx(plain / (1 - ties / (14 * 60)))
    assert ranks.p == pytest.approx(stats.chi2.sf(ranks.statistic, 3))


@pytest.mark.parametrize(
    ("methods", "quantile"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (10, 3.164)],
)
def test_the_quantiles_are_those_of_the_paper_s_table(methods: int, quantile: float) -> None:
    # Demšar 2006, table 5a
    root = (methods * (methods + 1) / (6 * 20)) ** 0.5
    assert critical_difference(methods, 20) == pytest.approx(quantile * root, abs=1.1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_drawn_scores_give_what_scipy_does(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(12, 5)) + np.linspace(0, 1.5, 5)
    scores[:3] = scores[:3].round()  # with ties
    named = {name: dict(zip(TASKS, scores[:, n], strict=False)) for n, name in enumerate("abcde")}
    ranks = rank_methods(named, TASKS[:12])
    assert ranks is not None
    expected = stats.friedmanchisquare(*scores.T)
    assert (ranks.statistic, ranks.p) == pytest.approx(expected)
    means = stats.rankdata(-scores, axis=1).mean(0)
    assert dict(zip(ranks.names, ranks.means, strict=True)) == pytest.approx(
        dict(zip("abcde", means, strict=True))
    )
    # Nemenyi's test: the studentized range of mean ranks
    assert ranks.p is not None
    unit = (5 * 6 / (12 * 12)) ** 0.5
    for n, mean in enumerate(ranks.means):
        p = [stats.studentized_range.sf(abs(mean - m) / unit, 5, np.inf) for m in ranks.means]
        alike = [k for k in range(5) if k != n and (ranks.p >= 0.05 or p[k] >= 0.05)]
        assert ranks.alike(n) == [ranks.names[k] for k in alike]


def test_what_is_nearer_than_the_distance_is_not_told_apart() -> None:
    ranks = ranked()
    assert ranks.alike(0) == ["C4.5+m", "C4.5+cf", "C4.5"]  # 1.18 is less than 1.25
    clear = rank_methods(
        {name: {t: m + n / 100 for n, t in enumerate(TASKS)} for m, name in enumerate("abcd")},
        TASKS,
    )
    assert clear is not None
    assert clear.alike(0) == ["c"]
    assert "| `d` | 1.00 | `c` |" in render_ranks(clear)


def test_two_methods_are_compared_by_signed_ranks() -> None:
    ranks = ranked("C4.5", "C4.5+m")
    expected = stats.wilcoxon(*(list(SCORES[name].values()) for name in ("C4.5", "C4.5+m")))
    assert (ranks.test, ranks.statistic) == ("Wilcoxon", expected.statistic)
    assert ranks.p == pytest.approx(expected.pvalue)
    assert ranks.alike(0) == []
    assert "the two differ" in render_ranks(ranks)


def test_under_six_tasks_there_are_ranks_and_no_test() -> None:
    few = ranked(tasks=5)
    assert (few.test, few.p, few.distance) == ("", None, None)
    assert "No test: it takes 6 tasks or more." in render_ranks(few)
    assert "not told apart" not in render_ranks(few)
    assert ranked(tasks=6).test == "Friedman"


def test_equal_methods_share_a_rank_and_are_not_tested() -> None:
    same = rank_methods({name: dict.fromkeys(TASKS, 0.1 + 0.2) for name in "abc"}, TASKS)
    assert same is not None
    assert same.means == (2.0, 2.0, 2.0)
    assert same.test == ""
    assert "equal on every task" in render_ranks(same)


def test_a_method_without_all_tasks_is_left_out_and_named() -> None:
    short = SCORES | {"short": {"task 0": 0.5}}
    ranks = rank_methods(short, TASKS)
    assert ranks is not None
    assert ranks.left_out == ("short",)
    assert "Left out, for they do not have all tasks: short." in render_ranks(ranks)
    assert rank_methods({"a": SCORES["C4.5"]}, TASKS) is None
    assert rank_methods(SCORES, TASKS[:1]) is None


def test_runs_are_ranked_by_their_means_over_seeds() -> None:
    records = [
        table_record(accuracy, method=method, seed=seed, source=(source,))
        for source in "ab"
        for method, accuracies in {"x": (0.4, 0.6), "y": (0.45, 0.5)}.items()
        for seed, accuracy in enumerate(accuracies, start=1)
    ]
    ranks = rank_rows(compare_runs(records))
    assert ranks is not None
    assert (ranks.names, ranks.means) == (("x", "y"), (1.0, 2.0))
