"""How well scores of transferability rank models by the accuracy that fine-tuning gives them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from da_framework.core.types import Finite

ACCURACY = "accuracy"


def model_ranking(
    keep: Callable[[str, Callable[[], Any]], Any],
    *,
    printed: Mapping[str, Mapping[str, Sequence[Finite]]],
) -> dict[str, dict[str, dict[str, float]]]:
    """Correlations of scores with accuracies, both as they are printed, model by model.

    Pearson's, and the weighted τ, in which models that are ranked high count more: Vigna, "A
    Weighted Correlation Index for Rankings with Ties", WWW 2015. https://arxiv.org/abs/1404.3325

    Args:
        keep: makes a part, or gives back what was made before.
        printed: by data set and by score, ``accuracy`` among them, a number a model.
    """
    from scipy.stats import pearsonr, weightedtau

    def correlate() -> dict[str, dict[str, dict[str, float]]]:
        return {
            name: {
                row: {
                    score: float(correlation(columns[ACCURACY], values).statistic)
                    for score, values in columns.items()
                    if score != ACCURACY
                }
                for row, correlation in (("pearson", pearsonr), ("weighted_tau", weightedtau))
            }
            for name, columns in printed.items()
        }

    figures: dict[str, dict[str, dict[str, float]]] = keep("correlations", correlate)
    return figures
