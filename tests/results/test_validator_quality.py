"""How well validators choose: the statistics by hand, and the table of whole runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from da_framework.config.plugins import conf_dir
from da_framework.core.errors import InputError
from da_framework.results.tables import gather_records, read_kept
from da_framework.results.validator_quality import (
    ScoredCheckpoints,
    checkpoints_by_task,
    judge_validators,
    render_validators,
    weighted_spearman,
)

VALIDATORS = {path.stem for path in (conf_dir() / "validator").glob("*.yaml")}
COSTLY = {"reverse_validation"}
"""What trains as long as the run has, at every evaluation."""


def test_three_checkpoints_by_hand() -> None:
    # dense ranks 1 2 3 and 1 3 2: weights 1/9, 1, 1; ranks 1 10 19 and 1 19 10, all over 9
    correlation = weighted_spearman(np.array([-5.0, 0.0, 7.0]), np.array([0.1, 0.3, 0.2]))
    assert correlation == pytest.approx(-5 / 14)


def test_equal_scores_share_a_rank() -> None:
    # weights max(1/2, 1/3)², max(1/2, 2/3)², 1 = 9 16 36 over 36; the tie has 3/4 of 9 + 16
    correlation = weighted_spearman(np.array([1.0, 1.0, 2.0]), np.array([0.1, 0.2, 0.3]))
    c = np.cov([18.75, 18.75, 61.0], [9.0, 25.0, 61.0], aweights=[9, 16, 36])
    assert correlation == pytest.approx(c[0, 1] / (c[0, 0] * c[1, 1]) ** 0.5)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 9)), min_size=2, max_size=12))
def test_only_the_order_counts_and_neither_side_is_first(pairs: list[tuple[int, int]]) -> None:
    s, a = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    correlation = weighted_spearman(s, a)
    assert -1 - 1e-12 <= correlation <= 1 + 1e-12
    assert weighted_spearman(np.exp(s), 3 * a + 1) == pytest.approx(correlation)
    assert weighted_spearman(a, s) == pytest.approx(correlation)
    assert weighted_spearman(s, s) == pytest.approx(float(len(set(s)) > 1))


def test_an_error_among_the_best_counts_more_than_one_among_the_worst() -> None:
    accuracies = np.arange(8.0)
    best, worst = accuracies.copy(), accuracies.copy()
    best[[6, 7]], worst[[0, 1]] = best[[7, 6]], worst[[1, 0]]
    assert weighted_spearman(best, accuracies) < weighted_spearman(worst, accuracies) < 1


def test_what_a_choice_costs() -> None:
    choices = judge_validators(
        [
            ScoredCheckpoints(
                [0.5, 0.7], {"good": [2.0, 3.0], "bad": [9.0, 8.0], "partly": [1.0, 2.0]}
            ),
            ScoredCheckpoints([0.9, 0.3], {"good": [4.0, 1.0], "bad": [1.0, 2.0]}),
        ]
    )
    assert list(choices) == ["random choice", "bad", "good"]
    assert choices["good"][1:] == pytest.approx((0.9, 0.0, 0.0))
    assert choices["bad"][1:] == pytest.approx((0.5, 0.4, (0.2 + 0.6) / 2))
    assert choices["random choice"] == pytest.approx((0.0, 0.6, 0.3, (0.1 + 0.3) / 2))
    assert choices["good"].correlation == pytest.approx(1.0)


def record(**keys: Any) -> Any:
    return {"config": {"seed": 1}, "domains": {"source": ["a"], "target": ["b"]}} | keys


def test_a_score_that_is_missing_is_the_lowest_and_the_untrained_model_is_no_choice() -> None:
    curve = [
        {"step": 0, "oracle/accuracy": 1.0},
        {"step": 5, "oracle/accuracy": 0.5, "validator/snd": -3.0},
        {"step": 5, "diagnosis/spread": 1.0},
        {"step": 9, "oracle/accuracy": 0.25},
    ]
    checkpoints = checkpoints_by_task([record(curve=curve), record(curve=curve[:1])])
    assert checkpoints == {("a → b", 1): [ScoredCheckpoints([0.5, 0.25], {"snd": [-3.0, -3.0]})]}
    with pytest.raises(InputError, match=r"callback=\[validators\] records"):
        checkpoints_by_task([record(curve=curve[-1:])])


def test_runs_are_scored_without_being_changed_and_kept_with_their_scores(da: Any) -> None:
    keys = ("method=dann", "validator=snd", "evaluate_every=10", "flush_every=10")
    assert da.train(*keys, "callback=[]", run="plain").code == 0
    assert da.train(*keys, "callback=[validators]", run="some/scored").code == 0
    plain, scored = da.record("plain")["curve"], da.record("some/scored")["curve"]
    assert [point["step"] for point in scored] == [0, 10, 20]
    assert not any(name.startswith("validator/") for name in scored[0])
    for point in scored[1:]:
        scores = {name for name in point if name.startswith("validator/")}
        assert scores == {f"validator/{name}" for name in VALIDATORS - COSTLY}
        assert point["validator/snd"] == point["score"]
    assert plain == [
        {name: value for name, value in point.items() if not name.startswith("validator/")}
        for point in scored
    ]
    ended = da("report", "some", "--validators", "--keep", "kept.json")
    assert ended.code == 0, ended
    assert "| straight → rotated | `snd` |" in ended.out
    assert "2 checkpoints of 1 runs" in ended.out
    assert render_validators(gather_records([Path("kept.json")])) == ended.out.rstrip("\n")
    bare = da("report", "plain", "--validators")
    assert (bare.code, bare.err.count("\n")) == (2, 1)


def test_no_recorded_checkpoint_is_a_dead_network() -> None:
    """Class AMI was 1 of one, and is 0; the page says that no other of its scores has changed."""
    records = read_kept(conf_dir() / "experiments" / "validators" / "digits.recorded.json")
    scores = [s for r in records for s in r["scores"]["class_ami"] if s is not None]
    assert len(scores) == 720
    assert round(max(scores), 3) == 0.876
