"""Figure of features of both sides in the plane, before and after training, by t-SNE."""

from pathlib import Path

import numpy as np

from da_framework.core.array_cache import Array
from da_framework.core.errors import InputError
from da_framework.results.figure import SOURCE, TARGET, save_figure

SIDES = ("source", "target")
LEAST_SPREAD = 1e-15
"""Standard deviation of features from which on they can be laid out: with less, t-SNE crashes."""


def draw_features(path: Path, moments: dict[str, dict[str, Array]]) -> None:
    """A panel a moment: colour is the side, the small digit or letter the class.

    Raises:
        InputError: the features of a moment are all alike.
    """
    from sklearn import manifold

    for moment, arrays in moments.items():
        features = np.concatenate([arrays[side] for side in SIDES if side in arrays])
        if features.astype(np.float64).std(0).max() < LEAST_SPREAD:
            raise InputError(f"the features {moment} training are all alike")

    with save_figure(path, width=4.6 * len(moments), height=4.4) as figure:
        panels = figure.subplots(1, len(moments), squeeze=False)[0]
        for axes, (moment, arrays) in zip(panels, moments.items(), strict=True):
            sides = [side for side in SIDES if side in arrays]
            features = np.concatenate([arrays[side] for side in sides]).astype(np.float64)
            perplexity = min(30.0, (len(features) - 1) / 3)
            plane = manifold.TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(
                features
            )
            start = 0
            for side, colour in zip(SIDES, (SOURCE, TARGET), strict=True):
                if side in arrays:
                    points = plane[start : start + len(arrays[side])]
                    start += len(points)
                    axes.scatter(*points.T, s=9, color=colour, alpha=0.65, linewidths=0, label=side)
                    if side == "source":
                        for label in np.unique(arrays["source_class"]):
                            x, y = np.median(points[arrays["source_class"] == label], axis=0)
                            axes.text(
                                x,
                                y,
                                str(label),
                                fontsize=11,
                                weight="bold",
                                ha="center",
                                va="center",
                            )
            axes.set(title=f"{moment} training", xticks=[], yticks=[])
        panels[0].legend(frameon=False, markerscale=2, loc="upper left")
