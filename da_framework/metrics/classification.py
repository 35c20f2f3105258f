"""How well predictions fit true labels."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from da_framework.core.batch import Outputs, Task


def confusion(logits: Float[Tensor, "rows k"], y: Int[Tensor, " rows"]) -> Int[Tensor, "c c"]:
    """Samples counted by true class (down) and predicted class (across).

    One more class than there are logits where some samples are of an unknown one.
    """
    k = max(logits.shape[1], int(y.max().item()) + 1)
    return torch.bincount(y * k + logits.argmax(1), minlength=k * k).reshape(k, k)


def metrics(
    logits: Float[Tensor, "rows k"], y: Int[Tensor, " rows"], *, known: int | None = None
) -> dict[str, Any]:
    """Accuracy, calibration error, and precision, recall and F1: macro, and of each class.

    All are fractions of 1. Classes without a true or a predicted sample count as 0, as
    scikit-learn's do with ``zero_division=0``; classes without either are left out of the means.

    Args:
        logits: of the classes; one more column where the unknown can be predicted.
        y: labels.
        known: how many classes are known; labels from there on are the unknown, and where there
            are any, ``open_set`` is added.
    """
    counts = confusion(logits, y).double()
    hits, true, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    present = (true + predicted) > 0
    recall = hits / true.clamp_min(1)
    precision = hits / predicted.clamp_min(1)
    f1 = 2 * hits / (true + predicted).clamp_min(1)
    figures: dict[str, Any] = {
        "accuracy": (hits.sum() / counts.sum()).item(),
        "precision": precision[present].mean().item(),
        "recall": recall[present].mean().item(),
        "f1": f1[present].mean().item(),
        "calibration_error": calibration_error(logits, y),
        "precision_per_class": precision.tolist(),
        "recall_per_class": recall.tolist(),
        "f1_per_class": f1.tolist(),
        "rows": int(counts.sum().item()),
    }
    if known is not None and len(true) > known and true[known:].sum() > 0:
        figures["open_set"] = open_set(recall, true, known)
    return figures


def metrics_per_domain(outputs: Outputs, task: Task) -> dict[str, Any]:
    """Metrics over all samples, and of each domain where there are several.

    Args:
        outputs: with true labels.
        task: whose classes are the known ones.
    """
    known = len(task.classes)
    summary = metrics(outputs.logits, outputs.y, known=known)
    present = torch.unique(outputs.domain).tolist()
    if len(present) > 1:
        each = {task.domains[d]: outputs.domain == d for d in present}
        summary["domains"] = {
            name: metrics(outputs.logits[members], outputs.y[members], known=known)
            for name, members in each.items()
        }
    return summary


def open_set(
    recall: Float[Tensor, " c"], true: Float[Tensor, " c"], known: int
) -> dict[str, float]:
    r"""How well known classes are told apart, and the unknown from them.

    .. math:: \mathrm{HOS} = \frac{2 \, \mathrm{OS^*} \, \mathrm{UNK}}{\mathrm{OS^*} + \mathrm{UNK}}

    OS* is the mean recall of the known classes, UNK the recall of the unknown. Bucci, Loghmani,
    Tommasi, "On the Effectiveness of Image Rotation for Open Set Domain Adaptation", ECCV 2020,
    eq. 7. https://arxiv.org/abs/2007.12360
    """
    known_recall = recall[:known][true[:known] > 0]
    os_star = known_recall.mean().item() if len(known_recall) else 0.0
    unknown = recall[known].item()
    both = os_star + unknown
    hos = 2 * os_star * unknown / both if both else 0.0
    return {"os_star": os_star, "unk": unknown, "hos": hos}


def calibration_error(
    logits: Float[Tensor, "rows k"], y: Int[Tensor, " rows"], *, bins: int = 15
) -> float:
    r"""Expected calibration error: how far confidence is from accuracy, over bins of confidence.

    .. math:: \sum_b \frac{|B_b|}{n} \left| \mathrm{acc}(B_b) - \mathrm{conf}(B_b) \right|

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 3.
    https://arxiv.org/abs/1706.04599
    """
    confidence, predicted = logits.double().softmax(1).max(1)
    gap = (predicted == y).double() - confidence
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    sums = torch.zeros(bins, dtype=torch.float64, device=logits.device).index_add_(0, bin_of, gap)
    return (sums.abs().sum() / len(y)).item()
