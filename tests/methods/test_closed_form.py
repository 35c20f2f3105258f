"""What every closed form has: the classifiers, the sides, the buffers."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from da_framework.core.errors import InputError
from da_framework.estimator import Estimator
from da_framework.training.build import build, compose
from da_framework.training.trainer import build_trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6))
Y = RNG.integers(0, 3, size=60)
T = RNG.normal(size=(40, 6)) + 0.5


def trained(*overrides: str) -> Any:
    config = compose(
        *("dataset=two_moons", "network=identity", "dataset.rows=80", "trainer.accelerator=cpu"),
        *overrides,
    )
    run = build(config)
    trainer = build_trainer(config, callbacks=[], loggers=[])
    trainer.fit(run.module, datamodule=run.domains)
    return run


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1nn", KNeighborsClassifier(1)),
        ("logistic", LogisticRegression(max_iter=10000)),
        ("svm", LinearSVC(random_state=0, max_iter=100000)),
    ],
)
@pytest.mark.parametrize("labels", [np.array(["b", "a", "c"]), np.array([7, 3])])
def test_the_classifiers_are_scikit_learns(name: str, expected: Any, labels: Any) -> None:
    y = labels[Y % len(labels)]
    model = Estimator("nearest_neighbor", classifier=name).fit(X, y, T)
    assert (model.predict(T) == expected.fit(X, y).predict(T)).all()
    assert model.classes_.tolist() == sorted(labels.tolist())


@pytest.mark.parametrize("name", ["1nn", "logistic", "svm"])
def test_a_class_without_a_labelled_row_is_never_said(name: str) -> None:
    model = Estimator("nearest_neighbor", classifier=name).fit(X, Y, T)
    method: Any = model.method_
    method.keep(method.learn(torch.as_tensor(X), torch.as_tensor(Y % 2)))
    _, logits = method(torch.as_tensor(T))
    assert logits.isfinite().all()
    assert set(logits.argmax(1).tolist()) == {0, 1}


def test_rows_of_both_sides_keep_their_places() -> None:
    model = Estimator("subspace_alignment", components=3).fit(X, Y, T)
    mixed = torch.as_tensor(np.concatenate([T[:2], X[:3], T[2:4]]))
    z, _ = model.method_(mixed, torch.tensor([1, 1, 0, 0, 0, 1, 1]))
    np.testing.assert_allclose(z[2:5], model.transform(X[:3], domain="source"), atol=1e-12)
    np.testing.assert_allclose(z[[0, 1, 5, 6]], model.transform(T[:4]), atol=1e-12)


def test_what_was_fitted_survives_in_the_state_dict() -> None:
    first, other = (trained("method=tca", "method.components=1").module for _ in range(2))
    fresh = build(
        compose("dataset=two_moons", "network=identity", "dataset.rows=80", "method=tca")
    ).module
    fresh.load_state_dict(first.state_dict())
    rows = first.domains.test
    restored, expected = (module.method.evaluate_samples(rows) for module in (fresh, other))
    torch.testing.assert_close(restored, expected, rtol=0, atol=0)
    assert restored.logits.any()


def test_the_steps_are_skipped_and_the_result_is_the_last() -> None:
    run = trained("method=pca", "steps=1000000")
    assert run.module.step == 1000000
    assert run.module.picks["last"]["step"] == run.module.picks["chosen"]["step"] == 1000000
    assert run.module.picks["last"]["target"]["accuracy"] > 0.6


def test_labelled_rows_of_the_target_teach_the_classifier() -> None:
    run = trained("method=nearest_neighbor", "dataset.labels_per_class=5")
    given = run.domains.train["target_labelled"]
    _, logits = run.module.method(given.x)
    assert (logits.argmax(1) == given.y).all()
    assert len(run.module.method.labels) == len(run.domains.train["source"].y) + 10


def test_says_what_it_cannot_use() -> None:
    with pytest.raises(InputError, match="network=identity"):
        build(compose("dataset=two_moons", "network=mlp", "method=tca"))
    with pytest.raises(InputError, match=r"term=mcc: TCA has no loss"):
        build(compose("dataset=two_moons", "network=identity", "method=tca", "term=[mcc]"))
    with pytest.raises(InputError, match=r"method\.component: there is no such key"):
        Estimator("tca", component=3).fit(X, Y, T)
    with pytest.raises(NotFittedError):
        Estimator("tca").predict(T)
    with pytest.raises(InputError, match="must be equal"):
        Estimator("tca").fit(X, Y[:5], T)
    with pytest.raises(ValueError, match="NaN"):
        Estimator("tca").fit(X * np.nan, Y, T)
