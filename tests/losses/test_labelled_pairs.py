from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from da_framework.losses.labelled_pairs import contrastive_semantic_alignment, neighborhood_margin

LOSSES = (contrastive_semantic_alignment, neighborhood_margin)


def rows(n: int, seed: int) -> Tensor:
    return torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


SOURCE, TARGET = rows(6, 0), rows(4, 1)
LABELS: dict[str, Any] = {
    "y_source": torch.tensor([0, 1, 2, 0, 1, 2]),
    "y_target": torch.tensor([2, 0, 0, 1]),
}


def on_a_line(source: list[float], target: list[float]) -> tuple[Tensor, Tensor]:
    return torch.tensor(source).double()[:, None], torch.tensor(target).double()[:, None]


def labels(source: list[int], target: list[int]) -> dict[str, Tensor]:
    return {"y_source": torch.tensor(source), "y_target": torch.tensor(target)}


def test_pairs_at_known_distances_cost_their_halved_squares() -> None:
    features, classes = on_a_line([0.0, 3.0, 4.0], [1.0]), labels([0, 0, 1], [0])
    actual = contrastive_semantic_alignment(*features, **classes, margin=5.0)
    # of one class at 1 and 2; of two at 3, which is 2 short of the margin
    assert actual.item() == pytest.approx((1 + 4) / 2 / 2 + 4 / 2)


def test_classes_a_margin_apart_cost_nothing_and_teach_nothing() -> None:
    source, target = on_a_line([0.0, 5.0], [0.0])
    source.requires_grad_()
    value = contrastive_semantic_alignment(source, target, **labels([0, 1], [0]), margin=4.0)
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert torch.autograd.grad(value, source)[0].abs().max() < 1e-9


@pytest.mark.parametrize("margin", [0.5, 2.0, 9.0])
def test_alignment_is_a_mean_over_pairs_of_each_kind(margin: float) -> None:
    parts: dict[bool, list[Tensor]] = {True: [], False: []}
    for s, label in zip(SOURCE, LABELS["y_source"], strict=True):
        for t, other in zip(TARGET, LABELS["y_target"], strict=True):
            distance, same = (s - t).norm(), bool(label == other)
            parts[same].append(distance if same else (margin - distance).clamp_min(0))
    expected = sum(torch.stack(part).square().mean() / 2 for part in parts.values())
    actual = contrastive_semantic_alignment(SOURCE, TARGET, **LABELS, margin=margin)
    assert_close(actual, torch.as_tensor(expected))


def test_two_classes_in_one_place_have_a_finite_gradient() -> None:
    source, target = (torch.ones(2, 3, requires_grad=True) for _ in range(2))
    value = contrastive_semantic_alignment(source, target, **labels([0, 1], [0, 1]), margin=1.0)
    assert value.item() == pytest.approx(0.5, abs=1e-5)
    assert all(g.isfinite().all() for g in torch.autograd.grad(value, (source, target)))


def test_the_farthest_of_a_class_is_compared_with_the_nearest_of_the_others() -> None:
    # for the target at 0: own class at 1 and 2, others at 3 and 4; for that at 2: own at 3, other 2
    features = on_a_line([1.0, 2.0, 3.0, -4.0], [0.0, 2.0])
    classes = labels([0, 0, 1, 2], [0, 1])
    for margin, expected in ((1.0, (0 + 2) / 2), (7.0, (7 + 4 - 9 + 7 + 1 - 0) / 2)):
        actual = neighborhood_margin(*features, **classes, margin=margin)
        assert actual.item() == pytest.approx(expected)


@pytest.mark.parametrize("margin", [0.5, 2.0, 9.0])
def test_the_margin_s_loss_is_a_loop_over_target_samples(margin: float) -> None:
    costs = []
    for t, label in zip(TARGET, LABELS["y_target"], strict=True):
        squared, same = (SOURCE - t).square().sum(1), LABELS["y_source"] == label
        costs.append((margin + squared[same].max() - squared[~same].min()).clamp_min(0))
    actual = neighborhood_margin(SOURCE, TARGET, **LABELS, margin=margin)
    assert_close(actual, torch.stack(costs).mean())


def test_target_samples_with_nothing_to_compare_are_left_out() -> None:
    # the batch has no source sample of class 2
    target, y_target = TARGET[1:], LABELS["y_target"][1:]
    rest: dict[str, Any] = {"y_source": LABELS["y_source"] % 2, "margin": 2.0}
    assert_close(
        neighborhood_margin(SOURCE, TARGET, y_target=LABELS["y_target"], **rest),
        neighborhood_margin(SOURCE, target, y_target=y_target, **rest),
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("y_source", "y_target"), [(0, 1), (1, 1)])
def test_one_kind_of_pair_alone_is_finite(loss: Any, y_source: int, y_target: int) -> None:
    source = SOURCE.clone().requires_grad_()
    classes = labels([y_source] * 6, [y_target] * 4)
    value = loss(source, TARGET, **classes, margin=1.0)
    gradient = torch.autograd.grad(value, source)[0]
    assert value.isfinite()
    assert gradient.isfinite().all()
    if loss is neighborhood_margin:
        assert value == 0
        assert not gradient.any()


@pytest.mark.parametrize("loss", LOSSES)
def test_ignores_order_and_translation(loss: Any) -> None:
    expected = loss(SOURCE, TARGET, **LABELS, margin=2.0)
    classes = {side: y.flip(0) for side, y in LABELS.items()}
    assert_close(loss(SOURCE.flip(0) + 3, TARGET.flip(0) + 3, **classes, margin=2.0), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_lowers_nothing(loss: Any) -> None:
    source, target = SOURCE.bfloat16(), TARGET.bfloat16()
    expected = loss(source.float(), target.float(), **LABELS, margin=2.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(loss(source, target, **LABELS, margin=2.0), expected)
