import math

import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support
from torch import Tensor

from da_framework.metrics import calibration_error, confusion, metrics


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
    assert [result[name] for name in ("precision", "recall", "f1")] == pytest.approx(macro[:3])
    assert result["recall_per_class"] == pytest.approx(each[1])
    assert result["rows"] == rows


@pytest.mark.parametrize(("rows", "k", "seed"), SIZES)
def test_confusion_equals_scikit_learn(rows: int, k: int, seed: int) -> None:
    logits, y = predictions(rows, k, seed)
    expected = confusion_matrix(y, logits.argmax(1), labels=list(range(k)))
    assert confusion(logits, y).tolist() == expected.tolist()


def test_truth_is_down_and_prediction_across() -> None:
    logits = torch.eye(3)[[2, 2, 1]]
    assert confusion(logits, torch.tensor([0, 0, 1])).tolist() == [[0, 0, 2], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("bins", [1, 7, 15])
@pytest.mark.parametrize(("rows", "k", "seed"), SIZES)
def test_calibration_error_equals_a_loop_over_bins(rows: int, k: int, seed: int, bins: int) -> None:
    logits, y = predictions(rows, k, seed)
    # half of the rows right whatever their confidence: some bins are overconfident, some not
    y[::2] = logits.argmax(1)[::2]
    confidence, predicted = (field.tolist() for field in logits.double().softmax(1).max(1))
    expected = 0.0
    for b in range(bins):
        own = [i for i in range(rows) if b / bins < confidence[i] <= (b + 1) / bins]
        if own:
            right = sum(predicted[i] == y[i].item() for i in own) / len(own)
            sure = sum(confidence[i] for i in own) / len(own)
            expected += len(own) / rows * abs(right - sure)
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
    assert [result[name] for name in ("accuracy", "precision", "recall", "f1")] == [1.0] * 4
    assert result["recall_per_class"] == [1.0] * 3


def test_a_class_nobody_has_or_predicts_is_left_out_of_the_means() -> None:
    y = torch.tensor([0, 1])
    assert metrics(torch.eye(5)[y], y)["recall"] == 1
