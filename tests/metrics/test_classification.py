import math
from statistics import harmonic_mean

import pytest
import torch
from sklearn.metrics import accuracy_score, precision_recall_fscore_support, recall_score
from torch import Tensor

from da_framework.metrics.classification import calibration_error, metrics, open_set


def predictions(rows: int, k: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(k, (rows,), generator=generator)
    return 2 * torch.randn(rows, k, generator=generator), y


# few rows of many classes: some are never true, some never predicted, some neither
SIZES = [(200, 3, 0), (6, 8, 1), (5, 20, 2), (1, 4, 3), (12, 8, 4), (30, 2, 5)]


@pytest.mark.parametrize(("rows", "k", "seed"), SIZES)
def test_equals_scikit_learn(rows: int, k: int, seed: int) -> None:
    logits, y = predictions(rows, k, seed)
    predicted = logits.argmax(1)
    result = metrics(logits, y)
    macro = precision_recall_fscore_support(y, predicted, average="macro", zero_division=0)
    each = precision_recall_fscore_support(y, predicted, labels=list(range(k)), zero_division=0)
    assert result["accuracy"] == pytest.approx(accuracy_score(y, predicted))
    assert (result["macro_precision"], result["macro_f1"]) == pytest.approx((macro[0], macro[2]))
    # scikit-learn's own warns of predicted classes without a sample, and leaves them out too
    balanced = recall_score(y, predicted, labels=torch.unique(y), average="macro")
    assert result["balanced_accuracy"] == pytest.approx(balanced)
    true, guessed = set(y.tolist()), set(predicted.tolist())
    defined = {"precision": true | guessed, "recall": true, "f1": true | guessed}
    for (name, classes), figures in zip(defined.items(), each[:3], strict=True):
        expected = [pytest.approx(figures[c]) if c in classes else None for c in range(k)]
        assert result[f"{name}_per_class"] == expected
    assert result["rows_per_class"] == [int((y == c).sum()) for c in range(k)]
    assert result["rows"] == rows


def test_a_class_that_is_predicted_and_has_no_sample_lowers_macro_f1_but_no_recall() -> None:
    y, predicted = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2, 1, 1])
    result = metrics(torch.eye(4)[predicted], y)
    assert result["recall_per_class"] == [0.5, 1.0, None, None]
    assert result["rows_per_class"] == [2, 2, 0, 0]
    assert result["balanced_accuracy"] == pytest.approx(0.75)
    assert result["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert result["f1_per_class"][2:] == [0.0, None]


def test_what_is_no_probability_has_no_calibration() -> None:
    logits, y = predictions(9, 3, 0)
    assert metrics(logits, y, calibrated=False)["calibration_error"] is None
    assert metrics(logits, y)["calibration_error"] == calibration_error(logits, y)


def test_the_memory_does_not_grow_with_the_square_of_the_classes() -> None:
    k = 200_000  # of which a matrix would take 300 GiB
    y = torch.tensor([5, 5, 7])
    logits = torch.zeros(3, k).index_put_((torch.arange(3), torch.tensor([5, 6, 7])), torch.ones(1))
    result = metrics(logits, y)
    assert result["accuracy"] == pytest.approx(2 / 3)
    assert result["recall_per_class"][5:8] == [0.5, None, 1.0]


@pytest.mark.parametrize("bins", [1, 7, 15])
@pytest.mark.parametrize(("rows", "k", "seed"), SIZES)
def test_calibration_error_equals_a_loop_over_bins(rows: int, k: int, seed: int, bins: int) -> None:
    logits, y = predictions(rows, k, seed)
    # half of the rows right whatever their confidence: some bins are overconfident, some not
    y[::2] = logits.argmax(1)[::2]
    confidence, predicted = (field.tolist() for field in logits.double().softmax(1).max(1))
    expected = 0.0
    for b in range(bins):
        members = [i for i in range(rows) if b / bins < confidence[i] <= (b + 1) / bins]
        if members:
            right = sum(predicted[i] == y[i].item() for i in members) / len(members)
            sure = sum(confidence[i] for i in members) / len(members)
            expected += len(members) / rows * abs(right - sure)
    assert calibration_error(logits, y, bins=bins) == pytest.approx(expected, abs=1e-12)


def test_perfect_calibration_has_no_error() -> None:
    # three of four right at confidence 3/4
    logits = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64).repeat(4, 1)
    assert calibration_error(logits, torch.tensor([0, 0, 0, 1])) == pytest.approx(0, abs=1e-12)


def test_certainty_costs_nothing_when_right_and_all_when_wrong() -> None:
    logits = torch.tensor([[1e3, 0.0], [0.0, 1e3]])
    assert calibration_error(logits, torch.tensor([0, 1])) == 0
    assert calibration_error(logits, torch.tensor([1, 0])) == 1
    assert calibration_error(logits, torch.tensor([1, 1])) == 0.5


def test_perfect_predictions_score_one() -> None:
    y = torch.tensor([0, 1, 2, 1])
    result = metrics(50 * torch.eye(3)[y], y)
    names = ("accuracy", "balanced_accuracy", "macro_precision", "macro_f1")
    assert [result[name] for name in names] == [1.0] * 4
    assert result["recall_per_class"] == [1.0] * 3


def test_a_class_nobody_has_or_predicts_is_left_out_of_the_means() -> None:
    y = torch.tensor([0, 1])
    result = metrics(torch.eye(5)[y], y)
    assert result["balanced_accuracy"] == result["macro_f1"] == result["macro_precision"] == 1


# true classes 0 and 1 are known, 2 is the unknown
TRUE = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
PREDICTED = torch.tensor([0, 0, 0, 2, 1, 0, 2, 2, 0, 1, 1])


def test_open_set_by_hand() -> None:
    figures = metrics(torch.eye(3)[PREDICTED], TRUE, known=2)
    # recalls 3/4 and 1/2 of the known, 2/5 of the unknown
    os_star, unk = (3 / 4 + 1 / 2) / 2, 2 / 5
    expected = {"os_star": os_star, "unk": unk, "hos": 2 * os_star * unk / (os_star + unk)}
    assert figures["open_set"] == pytest.approx(expected)
    assert figures["accuracy"] == pytest.approx(6 / 11)
    assert figures["recall_per_class"] == pytest.approx([3 / 4, 1 / 2, 2 / 5])


def test_who_cannot_say_unknown_finds_none() -> None:
    actual = metrics(torch.eye(2)[PREDICTED.clamp_max(1)], TRUE, known=2)["open_set"]
    assert actual == pytest.approx({"os_star": (3 / 4 + 1 / 2) / 2, "unk": 0, "hos": 0})


def test_who_says_unknown_alone_knows_nothing() -> None:
    actual = metrics(torch.eye(3)[torch.full((11,), 2)], TRUE, known=2)["open_set"]
    assert actual == {"os_star": 0, "unk": 1, "hos": 0}


def test_known_classes_that_the_target_has_not_are_left_out() -> None:
    y, predicted = torch.tensor([0, 0, 3, 3]), torch.tensor([0, 2, 3, 1])
    actual = metrics(torch.eye(4)[predicted], y, known=3)["open_set"]
    assert actual == pytest.approx({"os_star": 1 / 2, "unk": 1 / 2, "hos": 1 / 2})


def test_a_target_of_unknown_rows_alone_has_no_mean_of_known_ones() -> None:
    actual = metrics(torch.eye(3)[[2, 2, 0]], torch.tensor([2, 2, 2]), known=2)["open_set"]
    assert actual == pytest.approx({"os_star": 0, "unk": 2 / 3, "hos": 0})


@pytest.mark.parametrize("columns", [2, 3])
def test_without_an_unknown_row_there_is_nothing_open(columns: int) -> None:
    y = torch.tensor([0, 1, 1])
    assert "open_set" not in metrics(torch.eye(columns)[y], y, known=2)
    assert "open_set" not in metrics(torch.eye(columns)[y], y)


@pytest.mark.parametrize(("os_star", "unk"), [(1.0, 1.0), (0.3, 0.9), (0.0, 0.0), (0.8, 0.0)])
def test_hos_is_the_harmonic_mean(os_star: float, unk: float) -> None:
    actual = open_set(torch.tensor([os_star, os_star, unk]), torch.ones(3), 2)
    expected = harmonic_mean([os_star, unk])
    assert actual["hos"] == pytest.approx(expected)
