import pytest
import torch
from torch import Tensor

from da_framework.core.batch import UNLABELLED, Outputs, Samples
from da_framework.core.errors import InputError
from da_framework.validators.mix_val import mix_val
from da_framework.validators.validation import Validation


def line(x: Tensor, border: Tensor) -> Validation:
    """Rows on a line; the class is how many borders are left of a row."""

    def evaluate_samples(rows: Samples) -> Outputs:
        labels = (rows.x > border).sum(1)
        return Outputs(*rows, rows.x, torch.eye(len(border) + 1)[labels])

    rows = Samples(
        x, torch.full((len(x),), UNLABELLED), torch.ones(len(x)).long(), torch.arange(len(x))
    )
    return Validation(
        {"target": evaluate_samples(rows)},
        evaluate_samples=evaluate_samples,
        reverse=lambda: pytest.fail("not asked for"),
    )


def test_is_the_share_of_mixed_rows_that_keep_their_label_by_hand() -> None:
    x = torch.tensor([[0.0], [1.0], [4.0], [10.0]])
    other = torch.randperm(4, generator=torch.Generator().manual_seed(0))
    for at in (0.5, 3.0, 9.0):
        label = (x[:, 0] > at).long()
        mixed = 0.55 * x[:, 0] + 0.45 * x[other, 0]
        kept = ((mixed > at).long() == label).float()
        same = label == label[other]
        shares = [kept[own].mean().item() for own in (same, ~same) if own.any()]
        actual = mix_val(line(x, torch.tensor([at])), share=0.55)
        assert actual == pytest.approx(sum(shares) / 2)


def test_a_border_between_groups_is_better_than_one_through_them() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 1, generator=generator) + 8 * (torch.arange(400) % 2)[:, None]
    between, through = (mix_val(line(x, torch.tensor([at])), share=0.55) for at in (4.0, 8.0))
    assert between > through + 0.1


def test_a_collapsed_model_is_given_half_at_most() -> None:
    x = torch.tensor([[0.0], [1.0], [4.0], [10.0]])
    assert mix_val(line(x, torch.tensor([99.0])), share=0.55) == 0.5


def test_bytes_are_mixed_as_the_network_sees_them() -> None:
    x = torch.tensor([[0], [255]], dtype=torch.uint8)
    seen: list[Tensor] = []

    def evaluate_samples(rows: Samples) -> Outputs:
        seen.append(rows.x)
        return Outputs(*rows, rows.x, torch.eye(2))

    y = torch.zeros(2).long()
    target = Outputs(x, y, y, y, x, torch.eye(2))
    mix_val(
        Validation({"target": target}, evaluate_samples=evaluate_samples, reverse=lambda: target),
        share=0.75,
    )
    assert set(seen[0].flatten().tolist()) <= {-1.0, -0.5, 0.5, 1.0}


def test_words_cannot_be_mixed_nor_rows_in_halves() -> None:
    x = torch.tensor([[0.0], [1.0]])
    with pytest.raises(InputError, match=r"validator\.share=0\.5"):
        mix_val(line(x, torch.tensor([0.5])), share=0.5)
    with pytest.raises(InputError, match="words cannot be"):
        mix_val(line(x.int(), torch.tensor([0.5])), share=0.55)
