"""Self-training along digits that turn ever further, and what training on the first ones gives."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from da_framework.core.errors import InputError
from da_framework.core.types import Count, Fraction, Index, Positive
from da_framework.datasets.digits_files import explain_missing, read_published

Images = NDArray[np.float64]

CLASSES = 10
COLUMN = "rotating MNIST"
SOURCE, GRADUAL, GAIN = "source_alone", "gradual_self_training", "gain"
ROWS_AT_ONCE = 1000
"""Samples that are predicted at a time."""


class TurningDigits(NamedTuple):
    """Digits at angles that change.

    Attributes:
        source: upright or nearly so, with their labels.
        y: these labels.
        path: without labels, in the order in which they turn.
        target: the last, that is tested on.
        oracle: its labels.
    """

    source: Tensor
    y: Tensor
    path: Tensor
    target: Tensor
    oracle: Tensor


class Layers(NamedTuple):
    """Of the network: see ``make_network``."""

    width: Count
    kernel: Count
    dropout: Fraction


class Training(NamedTuple):
    """How a network is trained by Adam.

    Attributes:
        epochs: passes over the samples of a step along the path, and of the source.
        batch_size: of a step of the optimizer; the last of an epoch is smaller.
        lr: its rate.
    """

    epochs: Count
    batch_size: Count
    lr: Positive


def rotating_mnist(
    keep: Callable[[str, Callable[[], Any]], Any],
    *,
    data_dir: str,
    data_seed: Index,
    sizes: Mapping[str, Index],
    angles: Mapping[str, Sequence[float]],
    network: Mapping[str, Any],
    training: Mapping[str, Any],
    window: Count,
    dropped: Fraction,
    seeds: Sequence[Index],
) -> dict[str, dict[str, dict[str, float]]]:
    """Accuracy on the most turned digits, mean over networks, and what self-training gains.

    A network learns labelled digits. Then it goes along the path, a window at a time: it predicts
    the window's samples, the least confident are left out, and it learns the others' predictions as
    labels, from the weights that it has. Kumar, Ma, Liang, "Understanding Self-Training for
    Gradual Domain Adaptation", ICML 2020, section 5. https://arxiv.org/abs/2002.11361

    Args:
        keep: makes a part, or gives back what was made before.
        data_dir: the folder that holds ``digits/``.
        data_seed: of the order of digits and of drawn angles, which all networks see alike.
        sizes: digits of MNIST's training part: ``source``, ``left_out``, ``path``, ``target``, one
            after the other.
        angles: from and to, in degrees: ``source`` and ``target`` are drawn between, the ``path``
            goes evenly.
        network: ``width``, ``kernel`` and ``dropout``, as ``make_network`` takes them.
        training: ``epochs``, ``batch_size`` and ``lr``.
        window: samples of a step along the path; what is left at its end is not used.
        dropped: share of a window that is left out.
        seeds: of the networks.

    Raises:
        InputError: MNIST is missing, or has fewer digits.
    """
    made: list[TurningDigits] = []

    def digits() -> TurningDigits:
        if not made:  # turned where a part is missing
            made.append(turn_mnist(Path(data_dir), data_seed, sizes, angles))
        return made[0]

    def make(seed: int) -> dict[str, float]:
        keys = Layers(**network), Training(**training)
        return self_train(digits(), seed, *keys, window, dropped)

    results = [keep(f"seed-{seed}", partial(make, seed)) for seed in seeds]
    means = {row: 100 * fmean(each[row] for each in results) for row in (SOURCE, GRADUAL)}
    return {
        "accuracy": {row: {COLUMN: mean} for row, mean in means.items()},
        GAIN: {GRADUAL: {COLUMN: means[GRADUAL] - means[SOURCE]}},
    }


def self_train(
    digits: TurningDigits,
    seed: int,
    layers: Layers,
    training: Training,
    window: int,
    dropped: float,
) -> dict[str, float]:
    """Accuracy of a network on the target, before it goes along the path and after, by row."""
    with torch.random.fork_rng(devices=[]):  # layers draw from torch's own numbers
        torch.manual_seed(seed)
        model = make_network(tuple(digits.source.shape[1:]), layers)
        fit(model, make_optimizer(model, training), digits.source, digits.y, training)
        before = accuracy(model, digits.target, digits.oracle)
        follow_path(model, digits.path, training, window, dropped)
        return {SOURCE: before, GRADUAL: accuracy(model, digits.target, digits.oracle)}


def follow_path(
    model: nn.Module, path: Float[Tensor, "n ..."], training: Training, window: int, dropped: float
) -> None:
    """Trains on its own predictions, window by window."""
    optimizer = make_optimizer(model, training)  # one for the whole path
    for start in range(0, len(path) - window + 1, window):
        x = path[start : start + window]
        probabilities = predict(model, x)
        kept = most_confident(probabilities, dropped)
        fit(model, optimizer, x[kept], probabilities[kept].argmax(1), training)


def most_confident(probabilities: Float[Tensor, "n k"], dropped: float) -> Int[Tensor, " m"]:
    """Positions of the samples but a share that is least confident.

    Confidence is the largest probability less the smallest; those on the quantile stay.
    """
    confidence = probabilities.amax(1) - probabilities.amin(1)
    return torch.nonzero(confidence >= torch.quantile(confidence, dropped)).squeeze(1)


def make_network(shape: tuple[int, ...], layers: Layers) -> nn.Sequential:
    """Three convolutions of stride 2, dropout, batch norm and a linear layer.

    Images are padded so that a convolution halves their sides, rounded up; where the padding is
    odd, one more to the right and below. Weights begin as Glorot's uniform, without a bias.

    Args:
        shape: of an image: channels, height, width.
        layers: ``width`` is the channels of each convolution, ``kernel`` its side, ``dropout`` the
            share of numbers that a step leaves out before batch norm.
    """
    inputs, *sides = shape
    modules: list[nn.Module] = []
    for _ in range(3):
        pads: list[int] = []
        for place, side in enumerate(sides):
            halved = (side + 1) // 2
            pad = max(2 * (halved - 1) + layers.kernel - side, 0)
            pads = [pad // 2, pad - pad // 2, *pads]  # of the last side first
            sides[place] = halved
        convolution = nn.Conv2d(inputs, layers.width, layers.kernel, stride=2)
        modules += [nn.ZeroPad2d((pads[0], pads[1], pads[2], pads[3])), convolution, nn.ReLU()]
        inputs = layers.width
    head = nn.Linear(inputs * sides[0] * sides[1], CLASSES)
    # momentum and ε of Keras, which the authors train with
    norm = nn.BatchNorm2d(inputs, momentum=0.01, eps=1e-3)
    network = nn.Sequential(*modules, nn.Dropout(layers.dropout), norm, nn.Flatten(), head)
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return network


def make_optimizer(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Adam, with the ε of Keras."""
    return torch.optim.Adam(model.parameters(), lr=training.lr, eps=1e-7)


def fit(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, training: Training
) -> None:
    """Trains, in an order that is drawn anew for every epoch."""
    model.train()
    for _ in range(training.epochs):
        for batch in torch.split(torch.randperm(len(x)), training.batch_size):
            optimizer.zero_grad()
            loss = cross_entropy(model(x[batch]), y[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()


@torch.no_grad()
def predict(model: nn.Module, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
    """Probabilities of the classes."""
    model.eval()
    return torch.cat([model(rows).softmax(1) for rows in torch.split(x, ROWS_AT_ONCE)])


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of samples that are predicted right."""
    return (predict(model, x).argmax(1) == y).double().mean().item()


def turn_mnist(
    data_dir: Path,
    seed: int,
    sizes: Mapping[str, int],
    angles: Mapping[str, Sequence[float]],
) -> TurningDigits:
    """MNIST's training digits in an order that is drawn, in parts that are turned."""
    folder = data_dir.expanduser() / "digits"
    if not (folder / "mnist.npz").is_file():
        raise explain_missing([folder / "mnist.npz"], folder)
    arrays = read_published(folder, "mnist")
    draws = np.random.default_rng(seed)
    order = draws.permutation(len(arrays["y_train"]))
    x, y = arrays["x_train"][order], torch.as_tensor(arrays["y_train"][order]).long()
    ends = np.cumsum([sizes[part] for part in ("source", "left_out", "path", "target")])
    if ends[-1] > len(y):
        raise InputError(
            f"sizes: {ends[-1]} digits together, and MNIST's training part has {len(y)}"
        )
    source, path = slice(0, ends[0]), slice(ends[1], ends[2])
    target = slice(ends[2], ends[3])

    def turned(part: slice, drawn: NDArray[np.float64]) -> Tensor:
        return torch.as_tensor(turn(x[part] / 255, drawn), dtype=torch.float32)[:, None]

    def between(name: str) -> NDArray[np.float64]:
        low, high = angles[name]
        return draws.uniform(low, high, sizes[name])

    first, last = angles["path"]
    evenly = first + (last - first) * np.arange(sizes["path"]) / sizes["path"]
    return TurningDigits(
        turned(source, between("source")),
        y[source],
        turned(path, evenly),
        turned(target, between("target")),
        y[target],
    )


def turn(images: Images, angles: NDArray[np.float64]) -> Images:
    """Images (n, height, width), each turned about its middle by an angle of its own in degrees.

    By cubic splines, black around, as ``scipy.ndimage.rotate`` turns them: counter-clockwise.
    """
    from scipy.ndimage import rotate

    pairs = zip(images, angles, strict=True)
    return np.stack([rotate(image, angle, reshape=False) for image, angle in pairs])
