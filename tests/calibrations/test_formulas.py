"""Calibrations against general optimisers, identities and planted distortions."""

import inspect
import re
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, minimize
from torch import Tensor
from torch.testing import assert_close

from da_framework.calibrations.bias_corrected_temperature import bias_corrected_temperature
from da_framework.calibrations.no_bias_vector import no_bias_vector
from da_framework.calibrations.scaling import Scaling, fit_scaling
from da_framework.calibrations.temperature import temperature
from da_framework.calibrations.vector import vector
from da_framework.config.plugins import conf_dir

K = 3
MEANS = 1.5 * torch.eye(K).double()
FORMS: dict[str, tuple[Any, bool, bool]] = {
    "temperature": (temperature, False, False),
    "no_bias_vector": (no_bias_vector, True, False),
    "bias_corrected_temperature": (partial(bias_corrected_temperature, ridge=1.0), False, True),
    "vector": (partial(vector, ridge=1.0), True, True),
}
"""Each with whether classes have scales of their own, and a bias."""


def draw(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Three normal classes: the logits of the true classifier, and labels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(K, (rows,), generator=generator)
    x = MEANS[y] + torch.randn(rows, K, generator=generator, dtype=torch.float64)
    return x @ MEANS.T, y


def negative_likelihood(parameters: Any, z: Any, y: Any, *, per_class: bool, biased: bool) -> float:
    """The sum that a calibration minimises, sample by sample."""
    scales = K if per_class else 1
    a = np.broadcast_to(parameters[:scales], K)
    b = parameters[scales:] if biased else np.zeros(K)
    total = 0.0
    for row, label in zip(z, y, strict=True):
        shifted = a * row + b
        total += np.log(np.exp(shifted - shifted.max()).sum()) + shifted.max() - shifted[label]
    return float(total / len(z) + (b @ b) / (2 * len(z)))


def test_every_config_is_held_here_and_cites_a_paper_with_its_formula() -> None:
    assert {path.stem for path in (conf_dir() / "calibration").glob("*.yaml")} == FORMS.keys()
    for form, _, _ in FORMS.values():
        doc = inspect.getdoc(getattr(form, "func", form)) or ""
        assert re.search(r"https://\S+", doc)
        assert ".. math::" in doc


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("seed", range(2))
def test_the_optimum_is_that_of_a_search_without_derivatives(name: str, seed: int) -> None:
    form, per_class, biased = FORMS[name]
    logits, y = draw(60, seed)
    logits = 3 * logits + torch.tensor([0.4, -0.8, 0.0]).double()
    loss = partial(
        negative_likelihood, z=logits.numpy(), y=y.numpy(), per_class=per_class, biased=biased
    )
    fitted = form(logits, y)
    own = np.concatenate([fitted.scale[: K if per_class else 1], fitted.bias[: K * biased]])
    options = {"maxiter": 40_000, "maxfev": 40_000, "xatol": 1e-9, "fatol": 1e-13}
    search = minimize(loss, own + 0.05, method="Nelder-Mead", options=options)
    assert loss(own) <= search.fun + 1e-9
    np.testing.assert_allclose(own, search.x, atol=1e-3)
    assert np.abs(approx_fprime(own, loss, 1e-6)).max() < 1e-5


@pytest.mark.parametrize("name", FORMS)
def test_probabilities_that_are_the_truth_stay_as_they_are(name: str) -> None:
    logits, y = draw(200_000, 0)
    fitted = FORMS[name][0](logits, y)
    assert_close(fitted.scale, torch.ones(K).double(), atol=0.02, rtol=0)
    assert_close(fitted.bias - fitted.bias.mean(), torch.zeros(K).double(), atol=0.03, rtol=0)


def test_temperature_one_and_vectors_of_ones_are_the_identity() -> None:
    logits, _ = draw(9, 0)
    assert torch.equal(Scaling(torch.ones(K).double(), torch.zeros(K).double())(logits), logits)


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(1e-3, 1e3), offset=st.floats(-20, 20), seed=st.integers(0, 99))
def test_the_unit_and_the_level_of_logits_are_of_no_account(
    factor: float, offset: float, seed: int
) -> None:
    logits, y = draw(80, seed)
    for name in ("temperature", "bias_corrected_temperature"):
        form = FORMS[name][0]
        expected = form(logits, y)(logits).softmax(1)
        other = factor * logits + offset
        assert_close(form(other, y)(other).softmax(1), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["bias_corrected_temperature", "vector"])
def test_without_a_prior_the_mean_probability_of_a_class_is_its_share(name: str) -> None:
    logits, y = draw(500, 1)
    _, per_class, _ = FORMS[name]
    wrong = 2 * logits + torch.tensor([1.0, -0.5, 0.0]).double()
    p = fit_scaling(wrong, y, per_class=per_class, biased=True)(wrong).softmax(1)
    assert_close(p.mean(0), torch.bincount(y).double() / 500, atol=1e-6, rtol=0)


def test_a_temperature_changes_no_prediction() -> None:
    logits, y = draw(300, 2)
    scaled = temperature(5 * logits, y)(5 * logits)
    assert torch.equal(scaled.argmax(1), logits.argmax(1))
    assert scaled.softmax(1).amax(1).mean() < (5 * logits).softmax(1).amax(1).mean() - 0.05


@pytest.mark.parametrize("name", FORMS)
def test_more_parameters_never_fit_worse(name: str) -> None:
    logits, y = draw(200, 3)
    fits = {
        key: negative_log_likelihood(fit_scaling(logits, y, per_class=p, biased=b)(logits), y)
        for key, (_, p, b) in FORMS.items()
    }
    assert fits["vector"] <= fits[name] + 1e-9 <= fits["temperature"] + 2e-9
    assert fits["temperature"] <= negative_log_likelihood(logits, y) + 1e-9


def negative_log_likelihood(logits: Tensor, y: Tensor) -> float:
    return torch.nn.functional.cross_entropy(logits, y).item()


@pytest.mark.parametrize("name", FORMS)
def test_a_source_without_an_error_and_a_class_without_a_sample_are_finite(name: str) -> None:
    y = torch.arange(12) % 2  # the last of three classes has none
    for scale in (1e-6, 1.0, 1e6):
        z = scale * torch.eye(K).double()[y]
        p = FORMS[name][0](z, y)(z).softmax(1)
        assert p.isfinite().all()
        assert (p.argmax(1) == y).all()


def test_a_wrong_scale_and_shift_are_undone() -> None:
    logits, y = draw(40_000, 0)
    wrong = 5 * logits + torch.tensor([0.5, -1.0, 0.0]).double()
    fitted = bias_corrected_temperature(wrong, y, ridge=1.0)
    assert_close(fitted(wrong).softmax(1), logits.softmax(1), atol=0.03, rtol=0)
    uneven = torch.tensor([1.0, 2.0, 4.0]).double()
    p = vector(uneven * logits, y, ridge=1.0)(uneven * logits).softmax(1)
    assert_close(p, logits.softmax(1), atol=0.03, rtol=0)
