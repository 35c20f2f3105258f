"""The validators that look at features, or compare the domains: by hand-made outputs."""

import math
from collections.abc import Callable, Mapping
from functools import partial

import pytest
import torch
from torch import Tensor

from da_framework.core.batch import UNLABELLED, Outputs
from da_framework.validators.bnm import bnm
from da_framework.validators.class_ami import class_ami
from da_framework.validators.dev import dev
from da_framework.validators.information_maximization import information_maximization
from da_framework.validators.iwcv import iwcv
from da_framework.validators.mmd import mmd
from da_framework.validators.nearest_source import nearest_source
from da_framework.validators.silhouette import silhouette
from da_framework.validators.snd import snd
from da_framework.validators.source_accuracy import source_accuracy


def side(features: Tensor, logits: Tensor, y: Tensor | None = None) -> Outputs:
    index = torch.arange(len(logits))
    labels = torch.full_like(index, UNLABELLED) if y is None else y
    return Outputs(features, labels, torch.zeros_like(index), index, features, logits)


def one_hot(labels: Tensor, k: int = 3) -> Tensor:
    return 50.0 * torch.eye(k)[labels]


def blobs(rows: int, *, spread: float = 0.1, shift: float = 0.0, seed: int = 0) -> Tensor:
    """Three far points, each with as many rows, in their order."""
    generator = torch.Generator().manual_seed(seed)
    centres = 5 * torch.eye(3).repeat_interleave(rows, 0) + shift
    return centres + spread * torch.randn(3 * rows, 3, generator=generator)


LABELS = torch.arange(3).repeat_interleave(10)


def outputs(predicted: Tensor, *, features: Tensor | None = None) -> Mapping[str, Outputs]:
    """A perfect source, and these predictions on three blobs of the target."""
    features_or_blobs = blobs(10, seed=1) if features is None else features
    return {
        "source": side(blobs(10), one_hot(LABELS), LABELS),
        "target": side(features_or_blobs, one_hot(predicted)),
    }


RIGHT = LABELS
COLLAPSED = torch.zeros_like(LABELS)
MIXED = torch.arange(30) % 3


@pytest.mark.parametrize("validator", [bnm, class_ami, silhouette, nearest_source])
def test_right_predictions_on_clusters_score_best_and_collapsed_ones_do_not(
    validator: object,
) -> None:
    assert callable(validator)
    best = validator(outputs(RIGHT))
    assert best == pytest.approx(1, abs=0.05)
    assert validator(outputs(COLLAPSED)) < best - 0.3


@pytest.mark.parametrize(
    ("validator", "expected"),
    [(class_ami, 0.0), (silhouette, -0.07), (nearest_source, 1 / 3)],
    ids=["class_ami", "silhouette", "nearest_source"],
)
def test_predictions_across_the_clusters_score_as_chance(
    validator: object, expected: float
) -> None:
    assert callable(validator)
    assert validator(outputs(MIXED)) == pytest.approx(expected, abs=0.08)


def test_one_class_for_all_has_no_silhouette_and_no_information() -> None:
    assert silhouette(outputs(COLLAPSED)) == -1
    assert class_ami(outputs(COLLAPSED)) == pytest.approx(0, abs=1e-9)


def dead(*, certain: bool) -> Mapping[str, Outputs]:
    """A network that gives every sample of both sides the same features and logits."""
    logits = torch.tensor([[50.0, 0.0, 0.0] if certain else [0.0, 0.0, 0.0]]).expand(30, 3)
    zeros = torch.zeros(30, 3)
    return {"source": side(zeros, logits, LABELS), "target": side(zeros, logits)}


@pytest.mark.parametrize("certain", [True, False])
@pytest.mark.parametrize(
    ("validator", "most"),
    [
        (class_ami, 0.0),
        (silhouette, -1.0),
        (information_maximization, 1e-6),
        (nearest_source, 1 / 3 + 1e-6),
        (bnm, 1 / math.sqrt(3) + 1e-6),
        (source_accuracy, 1 / 3 + 1e-6),
        (iwcv, 1 / 3 + 1e-6),
        (dev, -2 / 3 + 1e-6),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_dead_network_is_never_scored_best(validator: object, most: float, certain: bool) -> None:
    assert callable(validator)
    score = validator(dead(certain=certain))
    assert math.isfinite(score)
    assert score <= most


def test_features_that_are_alike_have_no_clusters_to_agree_with() -> None:
    assert class_ami(outputs(RIGHT, features=torch.zeros(30, 3))) == 0
    assert class_ami(outputs(COLLAPSED, features=torch.zeros(30, 3))) == 0


def test_nuclear_norm_in_closed_form() -> None:
    # k equal columns of m/k ones: k singular values √(m/k)
    assert bnm(outputs(RIGHT)) == pytest.approx(1)
    # one column of m ones: a single √m, of a bound √(m k)
    assert bnm(outputs(COLLAPSED)) == pytest.approx(1 / math.sqrt(3))


def test_neighbours_alike_have_all_the_density_and_a_collapsed_model_fools_it() -> None:
    given = outputs(COLLAPSED)
    assert snd(given, temperature=0.05) == pytest.approx(math.log(29), rel=1e-5)
    # ten rows in each of three classes: nine neighbours alike, the others out of sight
    assert snd(outputs(RIGHT), temperature=0.05) == pytest.approx(math.log(9), rel=1e-3)


def test_mmd_is_nothing_for_the_same_rows_and_a_collapse_fools_it() -> None:
    same = outputs(RIGHT, features=blobs(10))
    far = outputs(RIGHT, features=blobs(10, shift=4.0))
    gone = {"source": side(torch.ones(30, 3), one_hot(LABELS), LABELS)} | {
        "target": side(torch.ones(30, 3), one_hot(COLLAPSED))
    }
    assert mmd(same, factors=[1.0]) == pytest.approx(0, abs=1e-6)
    assert mmd(far, factors=[1.0]) < -0.1
    assert mmd(gone, factors=[1.0]) == pytest.approx(0, abs=1e-6)


def line(rows: int, centre: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return centre + torch.randn(rows, 1, generator=generator)


def wrong_on_the_right() -> tuple[Tensor, Mapping[str, Outputs]]:
    """Every source row right of 0.5, where the target is, is classified wrongly."""
    source, target = line(3000, 0.0, 0), line(3000, 1.0, 1)
    wrong = (source.squeeze(1) > 0.5).long()
    validation = {
        "source": side(source, one_hot(wrong), torch.zeros(3000, dtype=torch.long)),
        "target": side(target, one_hot(torch.zeros(3000, dtype=torch.long))),
    }
    return wrong, validation


def test_weighted_scores_are_those_of_the_target_and_not_of_the_source() -> None:
    wrong, validation = wrong_on_the_right()
    truth = 1 - (validation["target"].features > 0.5).float().mean().item()
    plain = 1 - wrong.float().mean().item()
    assert abs(iwcv(validation) - truth) < 0.05 < abs(plain - truth)
    assert abs(1 + dev(validation) - truth) < 0.05


def test_without_a_shift_the_weights_are_one() -> None:
    rows = line(500, 0.0, 0)
    hits = torch.arange(500) % 2
    validation = {
        "source": side(rows, one_hot(hits), torch.ones(500, dtype=torch.long)),
        "target": side(line(500, 0.0, 1), one_hot(hits)),
    }
    assert iwcv(validation) == pytest.approx(0.5, abs=0.02)
    assert dev(validation) == pytest.approx(-0.5, abs=0.02)


def test_collapsed_features_make_equal_weights_and_no_nan() -> None:
    validation = {
        "source": side(torch.ones(20, 2), one_hot(LABELS[:20]), LABELS[:20]),
        "target": side(torch.ones(20, 2), one_hot(LABELS[:20])),
    }
    assert iwcv(validation) == pytest.approx(1)
    assert dev(validation) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("validator", [silhouette, nearest_source, partial(snd, temperature=0.05)])
def test_of_very_many_samples_every_kth_is_compared(
    validator: Callable[[Mapping[str, Outputs]], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(2)
    labels = torch.randint(3, (60,), generator=generator)
    many = {
        role: side(torch.randn(30, 3, generator=generator), one_hot(own), y)
        for role, own, y in (("source", labels[:30], labels[:30]), ("target", labels[30:], None))
    }
    few = {role: Outputs(*(field[::3] for field in outputs)) for role, outputs in many.items()}
    assert validator(many) != validator(few)
    monkeypatch.setattr("da_framework.core.batch.MOST_COMPARED", 12)
    assert validator(many) == validator(few)
