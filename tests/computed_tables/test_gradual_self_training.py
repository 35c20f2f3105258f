"""Self-training along turning digits: the filter, the rotation and the loop by hand."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.computed_tables import gradual_self_training
from da_framework.computed_tables.gradual_self_training import (
    Layers,
    Training,
    TurningDigits,
    fit,
    follow_path,
    make_network,
    make_optimizer,
    most_confident,
    predict,
    rotating_mnist,
    self_train,
    turn,
    turn_mnist,
)
from da_framework.core.errors import InputError

LAYERS = Layers(width=4, kernel=5, dropout=0.0)
TRAINING = Training(epochs=2, batch_size=8, lr=0.01)
SIZES = {"source": 24, "left_out": 4, "path": 40, "target": 12}
ANGLES = {"source": [0.0, 5.0], "path": [5.0, 60.0], "target": [55.0, 60.0]}


def test_a_share_of_the_least_confident_is_left_out() -> None:
    """Largest less smallest: 0.4, 0.2, 0.1, 0.5, 0.95; the largest alone would order otherwise."""
    probabilities = torch.tensor(
        [
            [0.60, 0.20, 0.20],
            [0.45, 0.30, 0.25],
            [0.40, 0.30, 0.30],
            [0.50, 0.50, 0.00],
            [0.95, 0.00, 0.05],
        ],
        dtype=torch.float64,
    )
    assert most_confident(probabilities, 0.0).tolist() == [0, 1, 2, 3, 4]
    # quantiles of five numbers are at 0, 1/4, ...: of 0.3 a little above the second
    assert most_confident(probabilities, 0.25).tolist() == [0, 1, 3, 4]
    assert most_confident(probabilities, 0.3).tolist() == [0, 3, 4]
    assert most_confident(probabilities, 0.75).tolist() == [3, 4]
    assert most_confident(probabilities[[3, 1]], 0.5).tolist() == [0]


def test_a_quarter_turn_is_counter_clockwise_and_no_turn_is_none() -> None:
    images = np.random.default_rng(0).uniform(size=(3, 6, 6))
    turned = turn(images, np.array([0.0, 90.0, 180.0]))
    np.testing.assert_allclose(turned[0], images[0], atol=1e-12)
    np.testing.assert_allclose(turned[1], np.rot90(images[1]), atol=1e-12)
    np.testing.assert_allclose(turned[2], images[2][::-1, ::-1], atol=1e-12)


def test_a_convolution_halves_the_sides_as_keras_pads_them() -> None:
    """28, 14, 7, 4: one pixel before and two behind, so the first window begins at -1."""
    network = make_network((1, 28, 28), Layers(width=2, kernel=5, dropout=0.5))
    sides = []
    x = torch.zeros(2, 1, 28, 28)
    for layer in network:
        x = layer(x)
        if isinstance(layer, torch.nn.Conv2d):
            sides.append(x.shape[-1])
    assert sides == [14, 7, 4]
    assert x.shape == (2, 10)
    image = torch.arange(784.0).reshape(1, 1, 28, 28)
    first: Any = network[1]
    first.weight.data.zero_()
    first.weight.data[0, 0, 1, 1] = 1.0
    assert_close(first(network[0](image))[0, 0], image[0, 0, ::2, ::2])


def digits() -> TurningDigits:
    """Two kinds of images that can be told apart, and another side of them along the path."""
    draws = torch.Generator().manual_seed(0)

    def images(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.arange(rows) % 2
        x = 0.1 * torch.rand(rows, 1, 8, 8, generator=draws)
        x[y == 0, :, :4] += 1
        x[y == 1, :, 4:] += 1
        return x, y

    source, y = images(24)
    path, _ = images(40)
    target, oracle = images(12)
    return TurningDigits(source, y, path, target, oracle)


def test_a_network_goes_along_the_path_by_its_predictions() -> None:
    """By hand: whole windows, each with labels of the network as the one before has left it."""
    given = digits()
    torch.manual_seed(3)
    model = make_network((1, 8, 8), LAYERS)
    fit(model, make_optimizer(model, TRAINING), given.source, given.y, TRAINING)
    twin = copy.deepcopy(model)
    state = torch.random.get_rng_state()
    follow_path(model, given.path, TRAINING, window=15, dropped=0.2)

    torch.random.set_rng_state(state)
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01, eps=1e-7)
    for x in (given.path[:15], given.path[15:30]):
        twin.eval()
        with torch.no_grad():
            p = twin(x).softmax(1)
        spread = p.max(1).values - p.min(1).values
        kept = torch.nonzero(spread >= np.quantile(spread.numpy(), 0.2))[:, 0]
        assert len(kept) == 12
        x, y = x[kept], p[kept].argmax(1)
        twin.train()
        for _ in range(2):
            order = torch.randperm(12)
            for rows in (order[:8], order[8:]):
                optimizer.zero_grad()
                cross_entropy(twin(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    for name, value in twin.state_dict().items():
        assert_close(model.state_dict()[name], value, msg=name)


def test_accuracies_are_of_the_network_before_the_path_and_after() -> None:
    given = digits()
    training = TRAINING._replace(epochs=40)
    before = torch.random.get_rng_state()
    found = self_train(given, 3, LAYERS, training, window=20, dropped=0.2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert found == self_train(given, 3, LAYERS, training, window=20, dropped=0.2)
    assert found == {"source_alone": 1.0, "gradual_self_training": 1.0}
    other = given._replace(oracle=1 - given.oracle)
    assert set(self_train(other, 3, LAYERS, training, window=20, dropped=0.2).values()) == {0.0}


def test_predictions_are_made_without_dropout() -> None:
    given = digits()
    torch.manual_seed(0)
    model = make_network((1, 8, 8), Layers(width=4, kernel=5, dropout=0.5))
    fit(model, make_optimizer(model, TRAINING), given.source, given.y, TRAINING)
    assert_close(predict(model, given.target), predict(model, given.target), rtol=0, atol=0)
    assert_close(predict(model, given.target).sum(1), torch.ones(12))


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    draws = np.random.default_rng(0)
    arrays = {"x_train": draws.integers(0, 256, (100, 8, 8)).astype(np.uint8)}
    arrays["y_train"] = (arrays["x_train"][:, 0, 0] % 10).astype(np.int64)
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "mnist.npz").touch()
    monkeypatch.setattr(gradual_self_training, "read_published", lambda folder, name: arrays)
    return tmp_path


def test_parts_follow_one_another_and_the_path_turns_evenly(
    mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def remember(images: Any, angles: Any) -> Any:
        seen.append((images, angles))
        return images

    monkeypatch.setattr(gradual_self_training, "turn", remember)
    parts = turn_mnist(mnist, 5, SIZES, ANGLES)
    source, path, target = (angles for _, angles in seen)
    assert (len(source), len(path), len(target)) == (24, 40, 12)
    np.testing.assert_allclose(path, 5 + 55 * np.arange(40) / 40)
    assert 0 <= source.min() < source.max() <= 5
    assert 55 <= target.min() < target.max() <= 60
    corner = [(255 * images[:, 0, 0]).round().astype(int) % 10 for images, _ in seen]
    assert corner[0].tolist() == parts.y.tolist()
    assert corner[2].tolist() == parts.oracle.tolist()
    whole = {"source": 100, "left_out": 0, "path": 0, "target": 0}
    labels = turn_mnist(mnist, 5, whole, ANGLES).y  # in the order that is drawn
    assert labels[:24].tolist() == parts.y.tolist()
    assert labels[28:68].tolist() == corner[1].tolist()
    assert parts.path.shape == (40, 1, 8, 8)


def test_the_table_is_the_mean_over_networks_and_a_part_is_a_network(mnist: Path) -> None:
    parts: dict[str, Any] = {}

    def keep(name: str, make: Any) -> Any:
        return parts.setdefault(name, make()) if name not in parts else parts[name]

    keys: dict[str, Any] = {
        "data_dir": str(mnist),
        "data_seed": 0,
        "sizes": SIZES,
        "angles": ANGLES,
        "network": LAYERS._asdict(),
        "training": TRAINING._asdict(),
        "window": 20,
        "dropped": 0.1,
        "seeds": [0, 4],
    }
    figures = rotating_mnist(keep, **keys)
    assert parts.keys() == {"seed-0", "seed-4"}
    for row in ("source_alone", "gradual_self_training"):
        mean = 50 * (parts["seed-0"][row] + parts["seed-4"][row])
        assert figures["accuracy"][row] == {"rotating MNIST": pytest.approx(mean)}
    gain = figures["gain"]["gradual_self_training"]["rotating MNIST"]
    rows = figures["accuracy"]
    expected = [rows[row]["rotating MNIST"] for row in ("gradual_self_training", "source_alone")]
    assert gain == pytest.approx(expected[0] - expected[1])
    with pytest.raises(InputError, match="140 digits together"):
        rotating_mnist(lambda name, make: make(), **keys | {"sizes": {**SIZES, "path": 100}})


def test_without_mnist_it_is_said_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mnist\.npz"):
        turn_mnist(tmp_path, 0, SIZES, ANGLES)
