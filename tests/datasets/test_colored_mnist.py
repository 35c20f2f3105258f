from pathlib import Path
from typing import Any

import numpy as np
import pytest

from da_framework.core.errors import InputError
from da_framework.datasets import mnist_domains
from da_framework.datasets.colored_mnist import FLIPS, ColoredMNIST
from da_framework.training.build import compose

ROWS = 6000


@pytest.fixture(autouse=True)
def mnist(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Images whose pixels say which they are."""
    random = np.random.default_rng(0)
    images = random.integers(1, 256, size=(ROWS, 28, 28)).astype(np.uint8)
    arrays = {"x_train": images, "y_train": np.arange(ROWS) % 10}
    monkeypatch.setattr(mnist_domains, "read_published", lambda folder, name: arrays)
    monkeypatch.setattr(ColoredMNIST, "_check_files", lambda self: None)
    return arrays


def colored(**keys: Any) -> ColoredMNIST:
    given = compose("dataset=colored_mnist", "method=irm")["dataset"]
    del given["_target_"]
    return ColoredMNIST(**(given | keys))


def colors(x: np.ndarray) -> np.ndarray:
    """The channel that is not zero."""
    seen = (x != 0).any((2, 3))
    assert (seen.sum(1) == 1).all()
    return np.asarray(seen.argmax(1))


def test_a_colour_is_the_label_s_as_often_as_its_domain_says() -> None:
    data = colored()
    for name, flip in FLIPS.items():
        domain = data[name]
        assert domain.x.shape[1:] == (2, 14, 14)
        assert domain.x.dtype == np.float32
        assert 0 <= domain.x.min() <= domain.x.max() <= 1
        if flip is None:
            assert (domain.x[:, 0] == domain.x[:, 1]).all()
        else:
            # channel 1 is that of a label that its colour was flipped from
            agrees = (colors(domain.x) == 1 - domain.y).mean()
            assert min(agrees, 1 - agrees) == pytest.approx(min(flip, 1 - flip), abs=0.04)
    alike = {name: (colors(data[name].x) == data[name].y).mean() for name in ("flip_20", "flip_90")}
    assert (alike["flip_20"] - 0.5) * (alike["flip_90"] - 0.5) < 0  # it lies in the target


def test_every_image_is_in_one_source_or_the_target_with_a_label_that_is_right_in_three_of_four(
    mnist: dict[str, Any],
) -> None:
    data, found = colored(), {}
    every = mnist["x_train"][:, ::2, ::2].astype(np.float32) / 255
    place = {image.tobytes(): row for row, image in enumerate(every)}
    for name in FLIPS:
        x = data[name].x.max(1)
        found[name] = [place[image.tobytes()] for image in x]
        right = (mnist["y_train"][found[name]] >= 5) == data[name].y
        assert right.mean() == pytest.approx(0.75, abs=0.04)
    assert sorted(found["flip_20"] + found["flip_10"]) == list(range(5000))
    assert found["flip_90"] == found["grey"] == list(range(5000, 6000))
    assert (data["flip_90"].y == data["grey"].y).all()


def test_another_seed_draws_another_order_labels_and_colours() -> None:
    first, again, other = colored(), colored(), colored(seed=1)
    assert (first["flip_20"].x == again["flip_20"].x).all()
    assert (first["flip_20"].x != other["flip_20"].x).any()
    assert (first["flip_90"].y != other["flip_90"].y).any()


def test_without_the_file_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"prepare_digits\.py"):
        colored(data_dir=str(tmp_path)).fingerprint("flip_20")
