"""How well class shares are estimated, on MNIST with drawn class shares."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from da_framework.core.types import Count, Index
from da_framework.datasets.digits_files import explain_missing, read_published
from da_framework.metrics.classification import calibration_error
from da_framework.metrics.label_shift import (
    Calibration,
    LabelShiftCorrection,
    correct_label_shift,
)

IntArray = NDArray[np.int64]
Figures = dict[str, dict[str, dict[str, float]]]
"""By panel, row and column."""
Trials = dict[str, dict[str, list[list[float]]]]
"""By column and row the measures of each trial."""

CLASSES = 10
VALIDATION = 10_000
"""The last samples of MNIST's training part."""
TWEAKED = 3
"""The class whose share is set."""
MEASURES = ("weights", "divergence", "gain")
"""Panels of a shift: squared error of the weights, Jensen-Shannon distance of the shares, and
accuracy gained over bare probabilities."""
UNSHIFTED = ("likelihood", "calibration_error")
"""Panels of calibrations alone, on the whole test part."""
SCALES = {"weights": 1e5, "divergence": 1.0, "gain": 100.0, "likelihood": 1.0}


class Sides(NamedTuple):
    """What a network makes of both sides.

    Attributes:
        source: logits of validation samples.
        y: their labels.
        target: logits of the test part.
        oracle: its labels.
    """

    source: Tensor
    y: Tensor
    target: Tensor
    oracle: Tensor


def mnist_label_shift(
    keep: Callable[[str, Callable[[], Any]], Any],
    *,
    data_dir: str,
    network: Mapping[str, Any],
    seeds: Sequence[Index],
    trials: Count,
    sizes: Sequence[Count],
    shifts: Mapping[str, Mapping[str, float]],
    calibrations: Mapping[str, Calibration | None],
    corrections: Mapping[str, LabelShiftCorrection],
    rows: Mapping[str, Sequence[str]],
) -> Figures:
    """Medians over networks and trials of how well weights and shares are estimated.

    A trial draws validation samples without replacement, class shares, and as many test samples in
    these shares with replacement. Alexandari, Kundaje, Shrikumar, "Maximum Likelihood with
    Bias-Corrected Calibration is Hard-To-Beat at Label Shift Adaptation", ICML 2020.
    https://arxiv.org/abs/1901.06852

    Args:
        keep: makes a part, or gives back what was made before.
        data_dir: the folder that holds ``digits/``.
        network: how networks are trained, as ``train_network`` takes it.
        seeds: of the networks.
        trials: of each network, size and shift.
        sizes: validation samples, and test samples, of a trial.
        shifts: by name ``dirichlet``, the parameter of the shares' distribution, or ``share`` of
            one class, the others' being equal.
        calibrations: by name.
        corrections: by name.
        rows: names of calibrations by that of the correction that they go with.

    Raises:
        InputError: MNIST is missing.
    """
    pairs = [(own, name) for own, names in rows.items() for name in names]
    measured: Trials = {}
    for seed in seeds:
        made: list[Sides] = []

        def network_sides(seed: int = seed, made: list[Sides] = made) -> Sides:
            if not made:  # trained where a part of it is missing
                made.append(make_sides(Path(data_dir), seed, network))
            return made[0]

        for size in sizes:

            def make(seed: int = seed, size: int = size, get: Any = network_sides) -> Trials:
                return measure(
                    *(get(), seed, trials, size),
                    shifts=shifts,
                    calibrations=calibrations,
                    corrections=corrections,
                    pairs=pairs,
                )

            part = keep(f"seed-{seed}-size-{size}", make)
            for column, by_row in part.items():
                for row, values in by_row.items():
                    measured.setdefault(column, {}).setdefault(row, []).extend(values)
    return summarise(measured)


def summarise(measured: Trials) -> Figures:
    """Medians of shifts, and means of calibrations, in the units of the table."""
    figures: Figures = {}
    for column, by_row in measured.items():
        for row, values in by_row.items():
            shifted = len(values[0]) == len(MEASURES)
            for place, panel in enumerate(MEASURES if shifted else UNSHIFTED):
                own = [value[place] for value in values]
                middle = median(own) if shifted else fmean(own)
                scaled = SCALES.get(panel, 100.0) * middle
                figures.setdefault(panel, {}).setdefault(row, {})[column] = scaled
    return figures


def measure(
    sides: Sides,
    seed: int,
    trials: int,
    size: int,
    *,
    shifts: Mapping[str, Mapping[str, float]],
    calibrations: Mapping[str, Calibration | None],
    corrections: Mapping[str, LabelShiftCorrection],
    pairs: Sequence[tuple[str, str]],
) -> Trials:
    """The measures of a network's trials, by column and row."""
    measured: Trials = {}
    members = [np.flatnonzero(sides.oracle.numpy() == label) for label in range(CLASSES)]
    for trial in range(trials):
        draws = np.random.RandomState(10 * seed + trial)
        held = torch.as_tensor(draws.choice(VALIDATION, size, replace=False))
        source, y = sides.source[held], sides.y[held]
        state = draws.get_state()
        fitted = {name: fit(made, source, y) for name, made in calibrations.items()}
        for name, calibrated in fitted.items():
            values = unshifted(calibrated(sides.target), sides.oracle)
            measured.setdefault(f"n={size}", {}).setdefault(name, []).append(values)
        for shift, stated in shifts.items():
            draws.set_state(state)  # every shift follows the same validation samples
            chosen = torch.as_tensor(draw_shifted(members, draw_shares(stated, draws), size, draws))
            target, oracle = sides.target[chosen], sides.oracle[chosen]
            column = measured.setdefault(f"{shift}, n={size}", {})
            for correction, name in pairs:
                given = fitted[name]
                values = compare(source, y, target, oracle, given, corrections[correction])
                column.setdefault(f"{correction}, {name}", []).append(values)
    return measured


def fit(calibration: Calibration | None, source: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    """A calibration fitted once, for all shifts of a trial."""
    return torch.Tensor.double if calibration is None else calibration(source, y)


def unshifted(logits: Tensor, oracle: Tensor) -> list[float]:
    """Negative log-likelihood and calibration error."""
    likelihood = nn.functional.cross_entropy(logits, oracle).item()
    return [likelihood, calibration_error(logits, oracle)]


def compare(
    source: Tensor,
    y: Tensor,
    target: Tensor,
    oracle: Tensor,
    calibrated: Callable[[Tensor], Tensor],
    correction: LabelShiftCorrection,
) -> list[float]:
    """What an estimate is off by, and what it gains: ``MEASURES``."""
    from scipy.spatial.distance import jensenshannon

    corrected = correct_label_shift(
        source, y, target, calibration=lambda z, labels: calibrated, correction=correction
    )
    assert corrected.estimate is not None
    weights = corrected.estimate.weights
    before, after = (
        torch.bincount(labels, minlength=CLASSES).double() / len(labels) for labels in (y, oracle)
    )
    error = (after / before - weights).square().mean().item()
    distance = float(jensenshannon(after.numpy(), (weights * before).numpy()))
    right = (corrected.target.argmax(1) == oracle).double().mean()
    gain = (right - (target.argmax(1) == oracle).double().mean()).item()
    return [error, distance, gain]


def draw_shares(stated: Mapping[str, float], draws: np.random.RandomState) -> NDArray[np.float64]:
    """The class shares of a shift."""
    if "dirichlet" in stated:
        return draws.dirichlet([stated["dirichlet"]] * CLASSES)
    shares = np.full(CLASSES, (1 - stated["share"]) / (CLASSES - 1))
    shares[TWEAKED] = stated["share"]
    return shares


def draw_shifted(
    members: Sequence[IntArray],
    shares: NDArray[np.float64],
    size: int,
    draws: np.random.RandomState,
) -> IntArray:
    """Positions of samples in these shares, with replacement; what rounding leaves is drawn."""
    drawn = [
        draws.choice(own, int(size * share), replace=True)
        for own, share in zip(members, shares, strict=True)
    ]
    left = size - sum(map(len, drawn))
    for _ in range(left):
        label = min(int(np.searchsorted(np.cumsum(shares), draws.uniform())), CLASSES - 1)
        drawn.append(draws.choice(members[label], 1))
    return np.concatenate(drawn)


def make_sides(data_dir: Path, seed: int, network: Mapping[str, Any]) -> Sides:
    """What a network that is trained on MNIST makes of its validation and its test samples."""
    folder = data_dir.expanduser() / "digits"
    if not (folder / "mnist.npz").is_file():
        raise explain_missing([folder / "mnist.npz"], folder)
    arrays = read_published(folder, "mnist")
    x, test = (
        torch.as_tensor(arrays[f"x_{part}"]).flatten(1).float() / 255 for part in ("train", "test")
    )
    y, oracle = (torch.as_tensor(arrays[f"y_{part}"]) for part in ("train", "test"))
    model = train_network(x, y, seed, **network)
    with torch.no_grad():
        source, target = (model(part).double() for part in (x[-VALIDATION:], test))
    return Sides(source, y[-VALIDATION:], target, oracle)


def train_network(
    x: Tensor,
    y: Tensor,
    seed: int,
    *,
    samples: int,
    hidden: int,
    epochs: int,
    batch_size: int,
    lr: float,
    momentum: float,
    decay: float,
) -> nn.Module:
    """A network with one hidden layer, by SGD whose rate is divided by 1 + decay · step.

    Args:
        x: inputs.
        y: labels.
        seed: of the weights and of the order of samples.
        samples: trained on, the first.
        hidden: width of the layer.
        epochs: passes over the samples.
        batch_size: of a step; the last of an epoch is smaller.
        lr: of the first step.
        momentum: of the gradient.
        decay: of the rate, a step.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = nn.Linear(x.shape[1], hidden), nn.Linear(hidden, CLASSES)
    for layer in layers:
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1])
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    for step, batch in enumerate(batches(samples, batch_size, epochs, generator)):
        optimizer.param_groups[0]["lr"] = lr / (1 + decay * step)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


def batches(
    samples: int, batch_size: int, epochs: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Positions of each step's samples, in an order drawn anew for every epoch."""
    for _ in range(epochs):
        yield from torch.split(torch.randperm(samples, generator=generator), batch_size)
