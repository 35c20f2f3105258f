"""Estimates of accuracy at every evaluation of whole runs."""

from typing import Any

import pytest

from da_framework.config.plugins import conf_dir

ESTIMATORS = {path.stem for path in (conf_dir() / "accuracy_estimator").glob("*.yaml")}
SECOND_RUN = {"gde"}
"""What needs a second run."""


def estimates(point: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in point.items() if name.startswith("estimate/")}


def test_every_evaluation_is_estimated_and_no_number_changes(da: Any) -> None:
    keys = ("method=dann", "evaluate_every=10", "flush_every=10")
    assert da.train(*keys, "callback=[]", run="plain").code == 0
    assert da.train(*keys, "callback=[accuracy_estimators]", run="estimated").code == 0
    curve = da.record("estimated")["curve"]
    assert [point["step"] for point in curve] == [0, 10, 20]
    for point in curve:
        assert estimates(point).keys() == {f"estimate/{n}" for n in ESTIMATORS - SECOND_RUN}
        assert all(0 <= value <= 1 for value in estimates(point).values())
    bare = [{n: v for n, v in p.items() if not n.startswith("estimate/")} for p in curve]
    assert bare == da.record("plain")["curve"]


PLACE = "callback.accuracy_estimators"
GROUP = "accuracy_estimator@callback.accuracy_estimators.accuracy_estimators"


@pytest.mark.parametrize(
    ("keys", "sentence", "left"),
    [
        (
            ("method=nearest_neighbor", "network=identity"),
            "the logits of NearestNeighbor give no probabilities",
            set(),
        ),
        (
            (
                *("method=source_only", "validator=entropy"),
                *("dataset.val=0.0", "dataset.protocol=transductive"),
            ),
            "no estimate by doc: it needs 'source', there is target",
            {"ac"},
        ),
        (
            ("method=source_only", f"+{GROUP}.gde=gde"),
            "no estimate by gde: accuracy_estimator=gde compares two runs",
            ESTIMATORS - SECOND_RUN,
        ),
    ],
    ids=["votes", "no source", "one run"],
)
def test_what_is_not_estimated_is_said_once(
    da: Any, keys: tuple[str, ...], sentence: str, left: set[str]
) -> None:
    ended = da.train("evaluate_every=10", "callback=[accuracy_estimators]", *keys, run="some")
    assert ended.code == 0, ended
    assert (ended.out + ended.err).count(sentence) == 1
    last = da.record("some")["curve"][-1]
    assert estimates(last).keys() == {f"estimate/{name}" for name in left}


def test_estimates_of_corrected_probabilities_say_so_in_their_names(da: Any) -> None:
    keys = ("method=source_only", "evaluate_every=10", "callback=[accuracy_estimators]")
    bcts = f"calibration@{PLACE}.calibration=bias_corrected_temperature"
    rlls = f"label_shift_correction@{PLACE}.label_shift_correction=rlls"
    assert da.train(*keys, run="bare").code == 0
    assert da.train(*keys, bcts, rlls, run="corrected").code == 0
    bare, corrected = (da.record(run)["curve"] for run in ("bare", "corrected"))
    end = "-bias_corrected_temperature-rlls"
    for point, before in zip(corrected, bare, strict=True):
        assert estimates(point).keys() == {f"{name}{end}" for name in estimates(before)}
        assert all(0 <= value <= 1 for value in estimates(point).values())
    last = estimates(corrected[-1])
    assert last[f"estimate/ac{end}"] != estimates(bare[-1])["estimate/ac"]
    # the source's shares are right as they are: what is calibrated there is as sure as it is right
    assert last[f"estimate/doc{end}"] == pytest.approx(last[f"estimate/ac{end}"], abs=0.03)


def test_without_held_out_source_nothing_is_corrected_and_it_is_said(da: Any) -> None:
    ended = da.train(
        *("method=source_only", "evaluate_every=10", "callback=[accuracy_estimators]"),
        *("validator=entropy", "dataset.val=0.0", "dataset.protocol=transductive"),
        f"calibration@{PLACE}.calibration=temperature",
        run="some",
    )
    assert ended.code == 0, ended
    assert (ended.out + ended.err).count("fitted to held-out source samples, and there are") == 1
    assert not estimates(da.record("some")["curve"][-1])
