import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from da_framework.core.errors import InputError
from da_framework.datasets.base import Array
from da_framework.datasets.digits_files import ARRAYS, PHOTOS, RECIPE, read_photos
from da_framework.datasets.mnistm import blend, draw, rebuild


def mnist(train: int = 40, test: int = 8) -> dict[str, Array]:
    random = np.random.default_rng(0)
    arrays: dict[str, Array] = {}
    for part, n in (("train", train), ("test", test)):
        digits = random.integers(0, 256, (n, 28, 28), np.uint8)
        arrays[f"x_{part}"] = digits * (random.random((n, 28, 28)) < 0.3)
        arrays[f"y_{part}"] = random.integers(0, 10, n)
    return arrays


def photographs() -> dict[str, Array]:
    random = np.random.default_rng(1)
    shapes = {"b.jpg": (40, 50, 3), "a.jpg": (50, 40, 3), "c.jpg": (32, 32, 3)}
    return {name: random.integers(0, 256, shape, np.uint8) for name, shape in shapes.items()}


def recipe(train: int = 40, test: int = 8) -> dict[str, Array]:
    random = np.random.default_rng(2)
    arrays: dict[str, Array] = {"photo_names": np.array(["b.jpg", "a.jpg"])}
    for part, n in (("train", train), ("test", test)):
        windows = [random.integers(2, size=n), *random.integers(0, 9, (2, n))]
        arrays[f"loc_{part}"] = np.stack(windows, axis=1).astype(np.int16)
        arrays[f"index_{part}"] = np.arange(n, dtype=np.int32)[::-1]
    return arrays


def test_the_recipe_by_hand() -> None:
    digit = np.zeros((1, 28, 28), np.uint8)
    digit[0, 3, 5] = 1  # the faintest grey turns the photograph as white does
    digit[0, 27, 27] = 255
    photo = np.arange(40 * 50 * 3, dtype=np.uint32).reshape(40, 50, 3).astype(np.uint8)
    (image,) = blend(digit, [photo], np.array([[0, 7, 11]]))
    expected = photo[7:39, 11:43].copy()
    expected[5, 7] = 255 - expected[5, 7]
    expected[29, 29] = 255 - expected[29, 29]
    assert_array_equal(image, expected)


def test_blending_leaves_photographs_and_digits_alone() -> None:
    digits, photo = mnist()["x_train"], photographs()["c.jpg"]
    before = digits.copy(), photo.copy()
    blend(digits, [photo], np.zeros((len(digits), 3), int))
    assert_array_equal(digits, before[0])
    assert_array_equal(photo, before[1])


def test_rebuilding_follows_names_windows_and_index() -> None:
    digits, photos, how = mnist(), photographs(), recipe()
    rebuilt = rebuild(digits, photos, how)
    assert str(rebuilt["recipe"]) == "original"
    for part in ("train", "test"):
        for row in (0, 3):
            photo, top, left = how[f"loc_{part}"][row]
            window = photos[["b.jpg", "a.jpg"][photo]][top : top + 32, left : left + 32]
            which = how[f"index_{part}"][row]
            digit = np.pad(digits[f"x_{part}"][which], 2)[..., None]
            expected = np.where(digit > 0, 255 - window, window)
            assert_array_equal(rebuilt[f"x_{part}"][row], expected)
            assert rebuilt[f"y_{part}"][row] == digits[f"y_{part}"][which]


def test_a_recipe_for_other_parts_is_refused() -> None:
    photos = photographs()
    del photos["a.jpg"]
    with pytest.raises(InputError, match=r"uses 2 photographs, but 1 of them \(a.jpg, ...\)"):
        rebuild(mnist(), photos, recipe())
    with pytest.raises(InputError, match="train digit 39, but MNIST has only 30 here"):
        rebuild(mnist(train=30), photographs(), recipe())


def test_a_draw_is_a_function_of_its_seed() -> None:
    digits, photos = mnist(), photographs()
    first = draw(digits, photos, 1)
    assert str(first["recipe"]) == "seed 1"
    again = draw(digits, dict(reversed(photos.items())), 1)
    other = draw(digits, photos, 2)
    for part in ("train", "test"):
        assert first[f"x_{part}"].shape == (len(digits[f"x_{part}"]), 32, 32, 3)
        assert_array_equal(first[f"x_{part}"], again[f"x_{part}"])
        assert_array_equal(first[f"y_{part}"], digits[f"y_{part}"])
        assert not np.array_equal(first[f"x_{part}"], other[f"x_{part}"])


def test_a_draw_reaches_every_photograph_and_corner() -> None:
    # photographs of one colour a row (red) and a column (green): a window tells where it was
    # taken, up to which of two it was (blue)
    photos = {
        f"{blue}.jpg": np.stack([*np.indices((34, 35)), np.full((34, 35), blue)], -1).astype(
            np.uint8
        )
        for blue in (10, 20)
    }
    blank = {f"x_{part}": np.zeros((400, 28, 28), np.uint8) for part in ("train", "test")}
    labels = {f"y_{part}": np.zeros(400, np.int64) for part in ("train", "test")}
    drawn = draw(blank | labels, photos, 0)
    corners = {part: drawn[f"x_{part}"][:, 0, 0].tolist() for part in ("train", "test")}
    everywhere = {
        (row, column, blue) for row in range(3) for column in range(4) for blue in (10, 20)
    }
    assert {tuple(corner) for corner in corners["train"]} == everywhere
    assert corners["train"] != corners["test"]


@pytest.mark.skipif("DA_DATA" not in os.environ, reason="needs MNIST-M's parts: set DA_DATA")
@pytest.mark.slow
def test_the_published_images_are_rebuilt_bit_for_bit() -> None:
    folder = Path(os.environ["DA_DATA"]) / "digits"
    with np.load(folder / "mnist.npz") as digits, np.load(folder / RECIPE) as how:
        rebuilt = rebuild(dict(digits), read_photos(folder / PHOTOS), dict(how))
    for key, expected in ARRAYS["mnistm"].items():
        assert hashlib.sha256(rebuilt[key].tobytes()).hexdigest() == expected
