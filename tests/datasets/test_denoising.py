from pathlib import Path
from typing import Any

import numpy as np
import pytest

from da_framework.datasets.denoising import Denoising, denoised

RNG = np.random.default_rng(0)


def test_a_layer_is_the_least_squares_solution_over_many_corrupted_copies() -> None:
    x = RNG.poisson(0.8, size=(30, 4)).astype(float)
    copies = 20000
    kept = RNG.random((copies, *x.shape)) < 0.7
    corrupted = np.concatenate([x * kept, np.ones((copies, len(x), 1))], axis=2)
    expected, *_ = np.linalg.lstsq(corrupted.reshape(-1, 5), np.tile(x, (copies, 1)), rcond=None)
    np.testing.assert_allclose(Denoising(layers=1, noise=0.3).layer(x), expected, atol=0.02)


def test_without_noise_it_rebuilds() -> None:
    x = RNG.normal(size=(50, 3))
    layer = Denoising(layers=1, noise=0.0).layer(x)
    np.testing.assert_allclose(layer, np.eye(4, 3), atol=1e-5)


def test_layers_stack_and_stand_beside_the_rows() -> None:
    x = RNG.random((20, 3))
    first, second = Denoising(layers=2, noise=0.5).fit(x)
    once = np.tanh(x @ first[:-1] + first[-1])
    twice = np.tanh(once @ second[:-1] + second[-1])
    np.testing.assert_allclose(denoised(x, [first, second]), np.hstack([x, once, twice]))
    np.testing.assert_allclose(second, Denoising(layers=1, noise=0.5).layer(once))


def test_layers_are_kept_for_the_rows_and_noise_that_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = RNG.random((20, 3))
    first = Denoising(layers=2, noise=0.5, cache=str(tmp_path)).fit(x)
    solved: list[float] = []

    def solve(self: Denoising, rows: Any) -> Any:
        solved.append(self.noise)
        return 0 * rows[: rows.shape[1] + 1]

    monkeypatch.setattr(Denoising, "layer", solve)
    again = Denoising(layers=2, noise=0.5, cache=str(tmp_path)).fit(x)
    np.testing.assert_array_equal(again, first)
    assert not solved
    Denoising(layers=1, noise=0.5, cache=str(tmp_path)).fit(x + 1)
    Denoising(layers=1, noise=0.4, cache=str(tmp_path)).fit(x)
    assert solved == [0.5, 0.4]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_that_no_row_has_stays_empty(dtype: type) -> None:
    x: Any = RNG.random((20, 3)).astype(dtype)
    x[:, 1] = 0
    layer = Denoising(layers=1, noise=0.5).layer(x)
    assert layer.dtype == dtype
    np.testing.assert_allclose(layer[:, 1], 0, atol=1e-6)
