import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import one_hot
from torch.testing import assert_close

from da_framework.losses import mmd as module
from da_framework.losses.class_mmd import class_mmd
from da_framework.losses.mmd import mmd

WIDTHS = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)
Y = torch.tensor([0, 1, 1, 0, 2, 1])
Z = torch.tensor([2, 0, 1, 0])


def rows(n: int, d: int = 2, seed: int = 0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, dtype=torch.float64, generator=generator) + shift


SOURCE, TARGET = rows(6), rows(4, seed=1, shift=1.0)
SOFT = one_hot(Z, 3).double() + rows(4, 3, seed=2).softmax(1)
SOFT = SOFT / SOFT.sum(1, keepdim=True)


def test_with_one_class_it_is_the_mmd() -> None:
    y, p = torch.zeros(6, dtype=torch.long), torch.ones(4, 1).double()
    actual = class_mmd(SOURCE, TARGET, y=y, p=p, bandwidths=WIDTHS)
    assert_close(actual, mmd(SOURCE, TARGET, bandwidths=WIDTHS))


def test_with_certain_predictions_it_is_the_mean_of_the_classes_mmd() -> None:
    actual = class_mmd(SOURCE, TARGET, y=Y, p=one_hot(Z, 3).double(), bandwidths=WIDTHS)
    each = [mmd(SOURCE[Y.eq(c)], TARGET[Z.eq(c)], bandwidths=WIDTHS) for c in range(3)]
    assert_close(actual, torch.stack(each).mean())


def test_uncertain_predictions_weigh_rows_by_hand() -> None:
    def k(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-(a - b).square().sum() / (2 * WIDTHS**2)).mean()

    total = torch.zeros(()).double()
    for c in range(3):
        ws, wt = Y.eq(c) / Y.eq(c).sum(), SOFT[:, c] / SOFT[:, c].sum()
        signed = [(w, x) for w, x in zip(ws, SOURCE, strict=True)]
        signed += [(-w, x) for w, x in zip(wt, TARGET, strict=True)]
        total += torch.stack([v * w * k(a, b) for v, a in signed for w, b in signed]).sum()
    actual = class_mmd(SOURCE, TARGET, y=Y, p=SOFT, bandwidths=WIDTHS)
    assert_close(actual, total / 3)


@pytest.mark.parametrize(
    ("y", "z", "shared"),
    [([0, 1, 1, 0, 1, 1], [2, 0, 1, 0], [0, 1]), ([2, 1, 1, 2, 2, 1], [2, 0, 0, 0], [2])],
)
def test_classes_that_one_side_lacks_are_left_out(
    y: list[int], z: list[int], shared: list[int]
) -> None:
    labels, predicted = torch.tensor(y), torch.tensor(z)
    p = one_hot(predicted, 4).double()
    actual = class_mmd(SOURCE, TARGET, y=labels, p=p, bandwidths=WIDTHS)
    each = [mmd(SOURCE[labels == c], TARGET[predicted == c], bandwidths=WIDTHS) for c in shared]
    assert_close(actual, torch.stack(each).mean())


def test_no_class_in_common_costs_nothing_and_teaches_nothing() -> None:
    source, p = SOURCE.clone().requires_grad_(), one_hot(torch.full((4,), 3), 4).double()
    value = class_mmd(source, TARGET, y=Y, p=p, bandwidths=WIDTHS)
    assert value == 0
    assert not torch.autograd.grad(value, source)[0].any()


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 6), m=st.integers(1, 6), seed=st.integers(0, 99))
def test_is_never_negative_and_blind_to_order_and_translation(n: int, m: int, seed: int) -> None:
    source, target, p = rows(n, 2, seed), rows(m, 2, seed + 1), rows(m, 3, seed + 2).softmax(1)
    y = torch.randint(3, (n,), generator=torch.Generator().manual_seed(seed))
    actual = class_mmd(source, target, y=y, p=p, bandwidths=WIDTHS)
    assert actual >= -1e-12
    moved = class_mmd(
        source.flip(0) + 3, target.flip(0) + 3, y=y.flip(0), p=p.flip(0), bandwidths=WIDTHS
    )
    assert_close(moved, actual)


def test_gradient_in_features_alone() -> None:
    sides = (SOURCE.clone().requires_grad_(), TARGET.clone().requires_grad_())
    assert gradcheck(lambda s, t: class_mmd(s, t, y=Y, p=SOFT, bandwidths=WIDTHS), sides)
    p = SOFT.clone().requires_grad_()
    value = class_mmd(*sides, y=Y, p=p, bandwidths=WIDTHS)
    (unused,) = torch.autograd.grad(value, p, allow_unused=True)
    assert unused is None


def test_half_precision_lowers_nothing() -> None:
    source, target, widths = SOURCE.bfloat16(), TARGET.bfloat16(), WIDTHS.float()
    expected = class_mmd(source.float(), target.float(), y=Y, p=SOFT.float(), bandwidths=widths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(class_mmd(source, target, y=Y, p=SOFT.float(), bandwidths=widths), expected)


def composed(source: Tensor, target: Tensor, *, y: Tensor, p: Tensor, bandwidths: Tensor) -> Tensor:
    kernel = module.gaussian(
        module.pairwise_squared_distances(torch.cat([source, target])), bandwidths
    )
    labels, put = one_hot(y, p.shape[1]).to(p), one_hot(p.argmax(1), p.shape[1])
    classes = [c for c in range(p.shape[1]) if labels[:, c].any() and put[:, c].any()]
    sides = [
        torch.cat([a[:, c] / a[:, c].sum(), -b[:, c] / b[:, c].sum()])
        for a, b in ((labels, p),)
        for c in classes
    ]
    values = [w @ kernel @ w for w in sides]
    return torch.stack(values).mean() if values else 0 * kernel.sum()


@pytest.mark.parametrize("least", [0, 2, 5], ids=["all classes", "some missing", "none shared"])
@pytest.mark.parametrize(("n", "m"), [(7, 5), (8, 8), (13, 3), (2, 9), (1, 1)])
@pytest.mark.parametrize("tile", [4, 512])
def test_tiles_give_the_whole_matrix_to_rounding(
    monkeypatch: pytest.MonkeyPatch, tile: int, n: int, m: int, least: int
) -> None:
    monkeypatch.setattr(module, "KERNEL_TILE", tile)
    sides = (rows(n, 3).requires_grad_(), rows(m, 3, seed=1, shift=0.5).requires_grad_())
    y = torch.arange(n) % 5
    p = rows(m, 10, seed=2).softmax(1) + 9 * one_hot(least + torch.arange(m) % 5, 10)
    values = []
    for form in (composed, class_mmd):
        value = form(*sides, y=y, p=p, bandwidths=WIDTHS)
        values.append((value, *torch.autograd.grad(value, sides)))
    for whole, tiled in zip(*values, strict=True):
        assert_close(tiled, whole, rtol=0, atol=1e-12)
        assert tiled.any() == (least < min(n, 5))


def test_the_gradient_of_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KERNEL_TILE", 3)
    sides = (SOURCE.clone().requires_grad_(), TARGET.clone().requires_grad_())
    p = SOFT.clone().requires_grad_()
    assert gradcheck(lambda s, t: class_mmd(s, t, y=Y, p=p, bandwidths=WIDTHS), sides)
    value = class_mmd(*sides, y=Y, p=p, bandwidths=WIDTHS)
    (unused,) = torch.autograd.grad(value, p, allow_unused=True)
    assert unused is None


def test_half_precision_lowers_nothing_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KERNEL_TILE", 3)
    sides = [side.bfloat16().requires_grad_() for side in (SOURCE, TARGET)]
    values = []
    for s, t in ([side.float() for side in sides], sides):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = class_mmd(s, t, y=Y, p=SOFT.bfloat16(), bandwidths=WIDTHS.float())
        values.append((value, *torch.autograd.grad(value, sides)))
    assert_close(*values)
