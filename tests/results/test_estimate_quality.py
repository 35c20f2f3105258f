"""How far estimates were off: by hand, and the table of whole runs."""

from pathlib import Path
from typing import Any

import pytest

from da_framework.core.errors import InputError
from da_framework.results.estimate_quality import (
    accuracy_estimates,
    estimate_errors,
    recorded_errors,
    render_estimates,
)
from da_framework.results.tables import gather_records


def record(method: str, *points: dict[str, float]) -> Any:
    domains = {"source": ["s"], "target": ["t"]}
    return {
        "choices": {"method": method},
        "config": {"seed": 1},
        "domains": domains,
        "curve": list(points),
    }


def point(step: int, accuracy: float, **estimates: float) -> dict[str, float]:
    figures = {f"estimate/{name}": value for name, value in estimates.items()}
    return {"step": step, "oracle/accuracy": accuracy, "source/accuracy": 0.9, **figures}


RUNS = [
    record("a", point(0, 0.1, ac=0.9), point(5, 0.5, ac=0.6, doc=0.5), point(9, 0.7, ac=0.6)),
    record("a", point(0, 0.1, ac=0.9), point(5, 0.5, ac=0.8, doc=0.4), point(9, 0.5, ac=0.8)),
    record("b", point(0, 0.1, ac=0.9), point(5, 0.2, ac=0.3)),
    record("c", {"step": 5, "oracle/accuracy": 0.4, "source/accuracy": 0.9}),
]


def test_errors_are_means_over_runs_at_the_first_and_last_trained_evaluation() -> None:
    first, last = (estimate_errors(RUNS, evaluation) for evaluation in ("first", "last"))
    assert first["ac"]["a"] == pytest.approx((0.2, 0.2))
    assert last["ac"]["a"] == pytest.approx((0.2, 0.1))
    assert first["ac"]["b"] == last["ac"]["b"] == pytest.approx((0.1, 0.1))
    assert first["doc"]["a"] == pytest.approx((0.05, -0.05))
    assert "doc" not in last
    assert last["source_accuracy"]["a"] == pytest.approx((0.3, 0.3))
    assert "c" not in last["source_accuracy"]


def test_the_table_by_hand() -> None:
    lines = render_estimates(RUNS).splitlines()
    assert lines[0] == "| method | evaluation | accuracy | `ac` | `source_accuracy` |"
    assert lines[2] == "| `a` | first | 50.0% | 20.0 (+20.0) | 40.0 (+40.0) |"
    assert lines[3] == "| `a` | last | 60.0% | 20.0 (+10.0) | 30.0 (+30.0) |"
    assert "over 3 runs" in lines[7]
    # the highest ac, .8, is of the second run's last evaluation: 20 points below the best of all
    (choice,) = [line for line in lines[8:] if line.startswith("| s → t | `ac` |")]
    assert choice.endswith("| 50.0 | 70.0 | 20.0 | 6.7 |")


def test_runs_without_estimates_say_what_records_them() -> None:
    with pytest.raises(InputError, match=r"callback=\[accuracy_estimators\] records"):
        render_estimates(RUNS[3:])


def test_estimates_are_kept_and_reported(da: Any) -> None:
    keys = ("method=source_only", "evaluate_every=10", "callback=[accuracy_estimators]")
    assert da.train(*keys, run="some/run").code == 0
    whole = gather_records([Path("some")])
    ended = da("report", "some", "--estimates", "--keep", "kept.json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.rstrip("\n") == render_estimates(whole)
    kept = gather_records([Path("kept.json")])
    assert render_estimates(kept) == render_estimates(whole)
    assert accuracy_estimates(kept[0]) == accuracy_estimates(whole[0])
    assert len(accuracy_estimates(kept[0])["ac"]) == 3


def test_the_recorded_errors_are_those_of_the_experiment() -> None:
    errors = recorded_errors()
    assert {"ac", "atc", "cot", "doc", "source_accuracy"} <= errors.keys()
    assert {"source_only", "dann", "shot"} <= errors["ac"].keys()
    assert all(0 <= value <= 1 for by_method in errors.values() for value in by_method.values())
