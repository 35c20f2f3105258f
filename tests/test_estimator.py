"""Methods by scikit-learn's conventions, held against scikit-learn's own checks."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import da_framework
from da_framework.core.errors import InputError
from da_framework.estimator import Estimator, validator_scorer
from tests.selection import a_few

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(80, 3))
Y = (X[:, 0] > 0).astype(int)
T = X[:60] + 0.3
BOTH = np.concatenate([X, T])
LABELS = np.concatenate([Y, np.full(len(T), -1)])
DANN: dict[str, Any] = {"steps": 8, "evaluate_every": 4, "trainer__accelerator": "cpu"}
SHALLOW = (
    "artl",
    "coral",
    "easy_tl",
    "gfk",
    "jda",
    "jgsa",
    "jpda",
    "kernel_svm",
    "linear_svm",
    "map_svm",
    "nearest_neighbor",
    "optimal_transport",
    "pca",
    "subspace_alignment",
    "tca",
)
NOT_APPLICABLE = {
    "check_classifiers_classes": "its classes are -1 and 1, and -1 marks the target's samples",
}
"""Checks of scikit-learn that cannot apply, with the reason."""


def dann(**keys: Any) -> Estimator:
    return Estimator("dann", **{**DANN, **keys})


CHECKS = """
import json, sys, warnings
warnings.simplefilter("ignore")  # of the checks' own, and that there is no target
from sklearn.utils.estimator_checks import check_estimator
from da_framework import Estimator
model, known = Estimator(sys.argv[1]), json.loads(sys.argv[2])
results = check_estimator(model, expected_failed_checks=known, on_skip=None, on_fail=None)
told = [(r["status"], r["check_name"], repr(r["exception"])) for r in results]
print("RESULTS", json.dumps([line for line in told if line[0] in ("failed", "xfail")]))
"""
"""Run apart: what holds types in tests would refuse what the checks give on purpose."""


@pytest.mark.slow
@pytest.mark.parametrize("method", a_few("scikit-learn", SHALLOW, 3))
def test_scikit_learn_s_own_checks_pass(method: str) -> None:
    pytest.importorskip("sklearn", minversion="1.6")  # which takes what is known to fail
    ended = subprocess.run(
        [sys.executable, "-c", CHECKS, method, json.dumps(NOT_APPLICABLE)],
        capture_output=True,
        text=True,
        check=True,
    )
    results = json.loads(ended.stdout.rpartition("RESULTS")[2])
    assert not [result for result in results if result[0] == "failed"]
    assert {name for _, name, _ in results} == {*NOT_APPLICABLE}


def test_a_trained_method_is_trained_as_by_fit() -> None:
    run = da_framework.fit(method="dann", source=(X, Y), target=T, network="mlp", **DANN)
    for model in (dann().fit(X, Y, T), dann().fit(BOTH, LABELS)):
        assert_array_equal(model.predict(T), run.predict(T))
        np.testing.assert_allclose(model.predict_proba(T), run.predict_proba(T), rtol=1e-5)
    assert model.score(BOTH, LABELS) == (model.predict(X) == Y).mean()


@pytest.mark.parametrize("missing", [None, np.nan, ""])
def test_what_has_no_label_is_the_target_s(missing: Any) -> None:
    names = np.array(["no", "yes"])[Y]
    y = np.array([*names, *[missing] * len(T)], dtype=object)
    model = Estimator("coral").fit(BOTH, y)
    assert_array_equal(model.classes_, ["no", "yes"])
    expected = Estimator("coral").fit(X, names, T)
    assert_array_equal(model.predict(T), expected.predict(T))
    assert model.score(BOTH, y) == expected.score(X, names)


@pytest.mark.parametrize("make", [dann, lambda **keys: Estimator("tca", **keys)])
def test_clones_have_the_same_parameters(make: Any) -> None:
    model = make(components=2) if make is not dann else make(weight=0.5)
    other = clone(model)
    assert other is not model
    assert other.get_params() == model.get_params()
    assert repr(other) == repr(model)
    other.set_params(method="jda", components=3)
    assert other.get_params()["components"] == 3
    assert model.get_params() != other.get_params()


def test_a_grid_search_by_a_validator_trains_each_value() -> None:
    search = GridSearchCV(
        dann(),
        {"weight": [0.1, 1.0]},
        scoring=validator_scorer("entropy"),
        cv=2,
        error_score="raise",
    ).fit(BOTH, LABELS)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_params_["weight"] == [0.1, 1.0][int(np.argmax(scores))]
    assert set(search.predict(T)) <= {0, 1}
    assert "weight" in search.best_estimator_.get_params()


def test_a_pipeline_ends_in_one() -> None:
    pipeline = make_pipeline(StandardScaler(), Estimator("coral"))
    predicted = pipeline.fit(BOTH, LABELS).predict(T)
    scaled = StandardScaler().fit_transform(BOTH)
    expected = Estimator("coral").fit(scaled, LABELS).predict(scaled[len(X) :])
    assert_array_equal(predicted, expected)
    grid = {"estimator__ridge": [0.1, 1.0]}
    scorer = validator_scorer("information_maximization")
    search = GridSearchCV(pipeline, grid, scoring=scorer, cv=2, error_score="raise")
    assert search.fit(BOTH, LABELS).best_params_.keys() == grid.keys()


def test_a_validator_scores_what_it_does_in_training() -> None:
    scores = cross_val_score(
        Estimator("nearest_neighbor"),
        BOTH,
        LABELS,
        scoring=validator_scorer("source_accuracy"),
        cv=3,
    )
    accuracies = cross_val_score(Estimator("nearest_neighbor"), BOTH, LABELS, cv=3)
    np.testing.assert_allclose(scores, accuracies, rtol=1e-6)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: Estimator("dan").fit(X, Y, T), "method=dan: there is no such method"),
        (lambda: Estimator("tca", componets=3).fit(X, Y, T), "did you mean method.components"),
        (lambda: Estimator("tca").fit(X, np.full(len(X), -1), T), "y has no label"),
        (lambda: Estimator("tca").fit(X, np.full(len(X), None), T), "y has no label"),
        (lambda: Estimator("tradaboost").fit(X, Y, T), "learns from the role target_labelled"),
        (lambda: validator_scorer("entrpy"), "validator=entrpy: there is no such validator"),
        (
            lambda: validator_scorer("entropy")(Estimator("coral").fit(X, Y, T), X, Y),
            "samples of the 'target' among those that are scored",
        ),
        (
            lambda: validator_scorer("reverse_validation")(dann().fit(X, Y, T), BOTH, LABELS),
            "trains anew",
        ),
    ],
)
def test_what_cannot_be_is_said(act: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        act()


@pytest.mark.parametrize("method", ["coral", "tca", "dann"])
def test_a_frame_s_columns_are_known_by_name(method: str) -> None:
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    keys = {"coral": {}, "tca": {"components": 2}, "dann": DANN}[method]
    model = Estimator(method, **keys).fit(frame, Y, frame + 0.3)
    assert_array_equal(model.feature_names_in_, ["a", "b", "c"])
    assert model.n_features_in_ == 3
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"a": "z"}))
    features = model.set_output(transform="pandas").transform(frame)
    assert list(features.columns) == list(model.get_feature_names_out())
    assert len(features) == len(frame)
    assert features.shape[1] == (2 if method == "tca" else model.method_.network.feature_dim)


@pytest.mark.parametrize("labels", [Y, np.array(["a", "b", "c"])[np.arange(80) % 3]])
@pytest.mark.parametrize("method", ["coral", "nearest_neighbor", "linear_svm"])
def test_decisions_order_the_classes_as_predictions_do(method: str, labels: Any) -> None:
    model = Estimator(method).fit(X, labels, T)
    decisions = model.decision_function(T)
    two = len(model.classes_) == 2
    assert decisions.shape == ((60,) if two else (60, 3))
    number = (decisions > 0).astype(int) if two else decisions.argmax(1)
    assert_array_equal(model.classes_[number], model.predict(T))


@pytest.mark.parametrize(
    ("method", "given"), [("uan", False), ("linear_svm", False), ("mcc", True)]
)
def test_probabilities_are_there_where_a_method_gives_some(method: str, given: bool) -> None:
    keys = {} if method == "linear_svm" else DANN
    model = Estimator(method, **keys).fit(X, Y, T)
    assert hasattr(model, "predict_proba") == given
    if not given:
        with pytest.raises(AttributeError, match="has no attribute 'predict_proba'"):
            model.predict_proba(T)


@pytest.mark.parametrize(
    ("labels", "unknown"), [(Y, -1), (np.array(["no", "yes"])[Y], "unknown")], ids=["0/1", "names"]
)
def test_what_is_of_no_class_is_unknown(labels: Any, unknown: Any) -> None:
    model = Estimator("osbp", **DANN).fit(X, labels, 30 * T)
    last: Any = model.method_.network.head[-1]
    with torch.no_grad():
        last.bias[2] = 1e6
    assert set(model.predict(T)) == {unknown}
    assert set(model.classes_) == set(labels)


def test_a_missing_target_is_said() -> None:
    with pytest.warns(UserWarning, match="no sample of a target"):
        Estimator("coral").fit(X, Y)
