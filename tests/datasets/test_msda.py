from pathlib import Path
from typing import Any

import numpy as np
import pytest

from da_framework.datasets.msda import Denoising, stack_outputs

RNG = np.random.default_rng(0)


def test_a_layer_is_the_least_squares_solution_over_many_corrupted_copies() -> None:
    x = RNG.poisson(0.8, size=(30, 4)).astype(float)
    copies = 20000
    kept = RNG.random((copies, *x.shape)) < 0.7
    corrupted = np.concatenate([x * kept, np.ones((copies, len(x), 1))], axis=2)
    expected, *_ = np.linalg.lstsq(corrupted.reshape(-1, 5), np.tile(x, (copies, 1)), rcond=None)
    np.testing.assert_allclose(Denoising(layers=1, noise=0.3).fit_layer(x), expected, atol=0.02)


def test_without_noise_it_rebuilds() -> None:
    x = RNG.normal(size=(50, 3))
    layer = Denoising(layers=1, noise=0.0).fit_layer(x)
    np.testing.assert_allclose(layer, np.eye(4, 3), atol=1e-5)


def test_layers_stack_and_stand_beside_the_rows() -> None:
    x = RNG.random((20, 3))
    first, second = Denoising(layers=2, noise=0.5).fit(x)
    once = np.tanh(x @ first[:-1] + first[-1])
    twice = np.tanh(once @ second[:-1] + second[-1])
    np.testing.assert_allclose(stack_outputs(x, [first, second]), np.hstack([x, once, twice]))
    np.testing.assert_allclose(second, Denoising(layers=1, noise=0.5).fit_layer(once))


def test_denoised_rows_are_kept_for_the_rows_the_fit_and_the_noise_that_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = RNG.random((20, 3))
    keys: dict[str, Any] = {"layers": 2, "noise": 0.5, "cache": str(tmp_path)}
    first = Denoising(**keys)(every[:5], every)
    layers = Denoising(layers=2, noise=0.5).fit(every)
    np.testing.assert_array_equal(first, stack_outputs(every[:5], layers))
    fitted: list[int] = []

    def fit(self: Denoising, x: Any) -> list[Any]:
        fitted.append(len(x))
        return layers

    monkeypatch.setattr(Denoising, "fit", fit)
    again = Denoising(**keys)
    np.testing.assert_array_equal(again(every[:5], every), first)
    assert not fitted
    again(every[5:9], every)
    again(every[9:], every)
    assert fitted == [20], "one fit serves all domains"
    again(every[:5], every + 1)
    Denoising(**keys | {"noise": 0.4})(every[:5], every)
    Denoising(**keys | {"layers": 1})(every[:5], every)
    assert fitted == [20] * 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_that_no_row_has_stays_empty(dtype: type) -> None:
    x: Any = RNG.random((20, 3)).astype(dtype)
    x[:, 1] = 0
    layer = Denoising(layers=1, noise=0.5).fit_layer(x)
    assert layer.dtype == dtype
    np.testing.assert_allclose(layer[:, 1], 0, atol=1e-6)
