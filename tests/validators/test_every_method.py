"""Every validator and estimator of accuracy with every method, on domains of different sizes."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from da_framework.config.plugins import conf_dir
from da_framework.config.schema import instantiate
from da_framework.core.batch import Outputs
from da_framework.core.errors import InputError
from da_framework.training.build import build, compose
from da_framework.training.method_check import fit_for_method, fit_run, method_class
from tests.selection import a_few

METHODS = sorted(path.stem for path in (conf_dir() / "method").glob("*.yaml"))
VALIDATORS = sorted(path.stem for path in (conf_dir() / "validator").glob("*.yaml"))
ESTIMATORS = {path.stem for path in (conf_dir() / "accuracy_estimator").glob("*.yaml")} - {"gde"}
"""But for the one that needs a second run."""
FITTED = (
    *("aad", "can", "importance_weighting", "jda", "kliep", "kmm", "nearest_neighbor", "nrc"),
    *("pada", "shot"),
)
"""Methods that keep what they fit to samples."""


@pytest.fixture(scope="module")
def judges() -> Mapping[str, Any]:
    return {
        name: instantiate(compose(f"validator={name}", name="check")["validator"])
        for name in VALIDATORS
    }


def scores_of(method: str, judges: Mapping[str, Any]) -> dict[str, float | str]:
    """The score of each validator after two steps, or why it has none."""
    scores: dict[str, float | str] = {}

    def judge_by_all(outputs: Mapping[str, Outputs]) -> float:
        for name, judge in judges.items():
            try:
                scores[name] = float(judge(outputs))
            except InputError as error:
                scores[name] = str(error)
            except KeyError as error:
                scores[name] = f"no role {error}"
        return 0.0

    config = compose(f"method={method}", "steps=2", "evaluate_every=1", name="check")
    with fit_for_method(config) as fitting:
        run = build(fitting)
        sizes = {role: len(samples.x) for role, samples in run.domains.train.items()}
        if {"source", "target"} <= sizes.keys():
            assert sizes["source"] != sizes["target"]
        run.module.validator = judge_by_all
        fit_run(run, fitting)
    return scores


@pytest.fixture(scope="module")
def estimators() -> Mapping[str, Any]:
    config = compose("callback=[accuracy_estimators]")["callback"]["accuracy_estimators"]
    built: Mapping[str, Any] = instantiate(config["accuracy_estimators"])
    assert built.keys() == ESTIMATORS
    return built


def assert_scores(method: str, judges: Mapping[str, Any]) -> None:
    scores = scores_of(method, judges)
    assert scores.keys() == judges.keys()
    kind = method_class(compose(f"method={method}", name="check"))
    roles = kind.roles
    if kind.generalizes:
        blind = {name: score for name, score in scores.items() if not isinstance(score, str)}
        assert blind.keys() <= {"source_accuracy"}
        assert all(math.isfinite(score) for score in blind.values())
        assert {*scores.values()} - {*blind.values()} <= {"no role 'target'"}
        return
    estimates = {name: scores[name] for name in ESTIMATORS & scores.keys()}
    assert all(0 <= float(value) <= 1 for value in estimates.values()), estimates
    if not set(roles) <= {"source", "target"}:
        assert "which the way back does not have" in str(scores.pop("reverse_validation"))
    assert not {n: s for n, s in scores.items() if isinstance(s, str) or not math.isfinite(s)}


@pytest.mark.slow
@pytest.mark.parametrize("method", FITTED)
def test_what_is_kept_of_samples_fits_those_of_the_way_back(
    method: str, judges: Mapping[str, Any]
) -> None:
    assert_scores(method, {"reverse_validation": judges["reverse_validation"]})


@pytest.mark.slow
@pytest.mark.parametrize("method", a_few("validators", METHODS, 16))
def test_every_validator_scores_every_method_and_every_estimate_is_a_share(
    method: str, judges: Mapping[str, Any], estimators: Mapping[str, Any]
) -> None:
    assert not judges.keys() & estimators.keys()
    assert_scores(method, {**judges, **estimators})
