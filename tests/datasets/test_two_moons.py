from typing import Any

import numpy as np
from numpy.testing import assert_allclose

from da_framework.datasets.two_moons import TwoMoons


def moons(**keys: Any) -> TwoMoons:
    given: dict[str, Any] = {
        "rows": 200,
        "rotation": 30.0,
        "shift": 0.0,
        "noise": 0.0,
        "seed": 0,
        "source": ["straight"],
        "target": ["rotated"],
        "protocol": "inductive",
        "labels_per_class": 0,
        "val": 0.1,
        "test": 0.2,
        "split_seed": 0,
        "batch_size": {"source": 8, "target": 8},
    }
    return TwoMoons(**(given | keys))


def test_domains_are_centred_and_balanced() -> None:
    for name in ("straight", "rotated"):
        x, y, test, _, _ = moons(noise=0.1)[name]
        assert x.shape == (200, 2)
        assert (str(x.dtype), str(y.dtype)) == ("float32", "int64")
        assert test is None
        assert_allclose(x.mean(axis=0), 0, atol=1e-6)
        assert np.bincount(y).tolist() == [100, 100]


def test_upper_is_above_lower() -> None:
    x, y, *_ = moons()["straight"]
    assert x[y == 0, 1].mean() > x[y == 1, 1].mean()


def test_rotated_is_straight_turned_counter_clockwise() -> None:
    # the same points, up to order, where there is no noise
    quarter, straight = moons(rotation=90.0)["rotated"], moons()["straight"]
    expected = np.stack([-straight.x[:, 1], straight.x[:, 0]], axis=1)
    for label in (0, 1):
        mine, theirs = quarter.x[quarter.y == label], expected[straight.y == label]
        assert_allclose(
            mine[np.lexsort(mine.round(4).T)], theirs[np.lexsort(theirs.round(4).T)], atol=1e-4
        )


def test_each_domain_is_a_draw_of_its_own() -> None:
    without = moons(rotation=0.0, noise=0.1)
    assert not np.allclose(np.sort(without["straight"].x, 0), np.sort(without["rotated"].x, 0))


def test_the_seed_decides() -> None:
    assert np.array_equal(moons(noise=0.1)["rotated"].x, moons(noise=0.1)["rotated"].x)
    assert not np.array_equal(moons(noise=0.1)["rotated"].x, moons(noise=0.1, seed=1)["rotated"].x)
    assert np.array_equal(moons(split_seed=1)["rotated"].x, moons()["rotated"].x)
