"""How well predictions fit true labels."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from da_framework.core.batch import Outputs, Task

SAMPLES_AT_ONCE = 4096
"""Of which the confidence is computed."""


def count_classes(
    predicted: Int[Tensor, " rows"], y: Int[Tensor, " rows"], k: int
) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"], Float[Tensor, " k"]]:
    """Of each class the samples that are found, all that there are, and its predictions.

    Not by their confusion matrix, which is large where there are many classes.
    """
    hits, true, guessed = (
        torch.bincount(labels, minlength=k).double() for labels in (y[predicted == y], y, predicted)
    )
    return hits, true, guessed


def metrics(
    logits: Float[Tensor, "rows k"],
    y: Int[Tensor, " rows"],
    *,
    known: int | None = None,
    calibrated: bool = True,
) -> dict[str, Any]:
    r"""Accuracy, balanced accuracy, macro precision and F1, calibration error; and of each class.

    .. math::
        \text{recall}_c = \frac{h_c}{n_c}, \quad
        \text{precision}_c = \frac{h_c}{p_c}, \quad
        \text{F1}_c = \frac{2 h_c}{n_c + p_c}

    with :math:`n_c` samples of a class, :math:`p_c` predictions of it, and :math:`h_c` of both. All
    are fractions of 1.

    - ``balanced_accuracy`` is the mean recall of the classes that have a sample: scikit-learn's
      ``balanced_accuracy_score``. A class without one has no recall, which is ``None``.
    - ``macro_precision`` and ``macro_f1`` are means over the classes that have a sample or a
      prediction: scikit-learn's ``average="macro", zero_division=0``. A class that is predicted
      and has no sample counts as 0 in both. So the mean over the same classes of a recall that
      counts as 0 there, scikit-learn's macro recall, is lower than the balanced accuracy.
    - ``rows_per_class`` are the samples of each class.

    Args:
        logits: of the classes; one more column where the unknown can be predicted.
        y: labels.
        known: how many classes are known; labels from there on are the unknown, and where there
            are any, ``open_set`` is added.
        calibrated: whether the softmax of the logits claims to be a probability; if not, the
            calibration error is ``None``.
    """
    # one more class than there are logits where some samples are of an unknown one
    k = max(logits.shape[1], int(y.max().item()) + 1)
    hits, true, predicted = count_classes(logits.argmax(1), y, k)
    sampled, present = true > 0, (true + predicted) > 0
    recall = hits / true.clamp_min(1)
    precision = hits / predicted.clamp_min(1)
    f1 = 2 * hits / (true + predicted).clamp_min(1)
    figures: dict[str, Any] = {
        "accuracy": (hits.sum() / true.sum()).item(),
        "balanced_accuracy": recall[sampled].mean().item(),
        "macro_precision": precision[present].mean().item(),
        "macro_f1": f1[present].mean().item(),
        "calibration_error": calibration_error(logits, y) if calibrated else None,
        "precision_per_class": where_defined(precision, present),
        "recall_per_class": where_defined(recall, sampled),
        "f1_per_class": where_defined(f1, present),
        "rows_per_class": [int(count) for count in true.tolist()],
        "rows": len(y),
    }
    if known is not None and len(true) > known and true[known:].sum() > 0:
        figures["open_set"] = open_set(recall, true, known)
    return figures


def where_defined(values: Float[Tensor, " c"], defined: Bool[Tensor, " c"]) -> list[float | None]:
    """The values; ``None`` where they are not defined."""
    pairs = zip(values.tolist(), defined.tolist(), strict=True)
    return [value if is_defined else None for value, is_defined in pairs]


def metrics_per_domain(outputs: Outputs, task: Task, *, calibrated: bool = True) -> dict[str, Any]:
    """Metrics over all samples with a label, and of each domain where there are several.

    Of no such sample, ``rows`` is 0 and there is nothing else: no figure is made up.

    Args:
        outputs: with true labels, where they are known.
        task: whose classes are the known ones.
        calibrated: whether the softmax of the logits claims to be a probability.
    """

    def measure(some: Outputs) -> dict[str, Any]:
        some = some.labelled()
        if not len(some.y):
            return {"rows": 0}
        return metrics(some.logits, some.y, known=len(task.classes), calibrated=calibrated)

    summary = measure(outputs)
    present = torch.unique(outputs.domain).tolist()
    if len(present) > 1:
        summary["domains"] = {
            task.domains[d]: measure(Outputs(*(field[outputs.domain == d] for field in outputs)))
            for d in present
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
    # in parts: of many classes, all in double precision would be twice the logits
    parts = [rows.double().softmax(1).max(1) for rows in torch.split(logits, SAMPLES_AT_ONCE)]
    confidence, predicted = (torch.cat(each) for each in zip(*parts, strict=True))
    gap = (predicted == y).double() - confidence
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    sums = torch.zeros(bins, dtype=torch.float64, device=logits.device).index_add_(0, bin_of, gap)
    return (sums.abs().sum() / len(y)).item()
