"""MNIST turned by six angles."""

from typing import Any

import numpy as np
import pytest

from da_framework.core.errors import InputError
from da_framework.datasets import mnist_domains
from da_framework.datasets.rotated_mnist import RotatedMNIST, turn
from da_framework.training.build import compose

ROWS = 50


@pytest.fixture(autouse=True)
def mnist(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Images of one grey each, which says which they are."""
    greys = np.arange(1, ROWS + 13, dtype=np.uint8)[:, None, None]
    images = np.broadcast_to(greys, (ROWS + 12, 28, 28)).copy()
    y = np.arange(ROWS + 12) % 10
    arrays = {"x_train": images[:ROWS], "y_train": y[:ROWS]}
    arrays |= {"x_test": images[ROWS:], "y_test": y[ROWS:]}
    monkeypatch.setattr(mnist_domains, "read_published", lambda folder, name: arrays)
    monkeypatch.setattr(RotatedMNIST, "_check_files", lambda self: None)
    return arrays


def rotated(**keys: Any) -> RotatedMNIST:
    given = compose("dataset=rotated_mnist", "method=irm")["dataset"]
    del given["_target_"]
    return RotatedMNIST(**(given | keys))


def test_every_image_is_in_one_domain_with_its_label() -> None:
    data, greys = rotated(), []
    for name in data.names:
        domain = data[name]
        assert domain.x.shape[1:] == (1, 28, 28)
        assert domain.x.dtype == np.uint8
        assert domain.test is None
        middle = domain.x[:, 0, 14, 14]  # it stays where it is
        assert domain.y.tolist() == ((middle.astype(int) - 1) % 10).tolist()
        greys += middle.tolist()
    assert sorted(greys) == list(range(1, ROWS + 13))
    assert rotated(seed=1)["angle_0"].y.tolist() != data["angle_0"].y.tolist()


def test_it_is_turned_counter_clockwise_with_black_around() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[2, 12:16] = 200  # above the middle
    assert (turn(image, 0) == image).all()
    rows, columns = np.nonzero(turn(image, 75) > 20)
    assert columns.max() < 8
    assert 8 <= rows.min() <= rows.max() < 16
    assert turn(np.full((28, 28), 9, np.uint8), 45)[0, 0] == 0


def test_so_many_are_the_first_of_all() -> None:
    whole, few = rotated()["angle_30"], rotated(samples=4)["angle_30"]
    assert (few.x == whole.x[:4]).all()
    with pytest.raises(InputError) as error:
        rotated(samples=11)["angle_30"]
    assert str(error.value) == "dataset.samples=11: angle_30 has only 10"
