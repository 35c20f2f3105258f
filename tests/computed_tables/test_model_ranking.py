"""Rankings of models, recomputed of what is printed: exact, but for what rounding leaves open."""

import numpy as np
import pytest

from da_framework.computed_tables.model_ranking import model_ranking
from da_framework.config.schema import instantiate
from da_framework.results.computed_table import (
    TableRecord,
    find_computed_tables,
    judge_table,
)

OUTSIDE = {("dtd", "pearson", "log_me")}
"""Of scores between 0.664 and 0.698, of which three digits are printed."""


def test_correlations_by_hand() -> None:
    printed = {"set": {"accuracy": [1.0, 2.0, 3.0, 5.0], "score": [2.0, 1.0, 3.0, 4.0]}}
    figures = model_ranking(lambda name, make: make(), printed=printed)["set"]
    x, y = (np.array(column) - np.mean(column) for column in printed["set"].values())
    expected = (x @ y) / np.sqrt((x @ x) * (y @ y))
    assert figures["pearson"]["score"] == pytest.approx(expected)
    # of six pairs one is turned round, that of the two that are ranked last by both: its weight
    # is 1/3 + 1/4, of all pairs together 3 (1 + 1/2 + 1/3 + 1/4)
    weights = [1 / rank for rank in (1, 2, 3, 4)]
    total = sum(a + b for i, a in enumerate(weights) for b in weights[i + 1 :])
    turned = weights[2] + weights[3]
    assert figures["weighted_tau"]["score"] == pytest.approx(1 - 2 * turned / total)


def test_the_table_is_the_page_s_but_for_one_cell_and_the_page_s_errors() -> None:
    table = find_computed_tables()["logme_2021/model_ranking"]
    figures = instantiate(table.compute)(lambda name, make: make())
    record = TableRecord(figures, {}, {}, {"versions": {}}, "", "")
    cells = judge_table(table, record)
    assert len(cells) == 64
    outside = {cell[:3] for cell in cells if cell.inside is False}
    assert outside == OUTSIDE
    doubted = {cell.panel for cell in cells if cell.inside is None}
    assert doubted == {"aircraft", "pets", "dtd"}
    for panel in ("aircraft", "pets"):  # which do not follow from their columns
        off = [abs((c.ours or 0) - c.paper) for c in cells if c.panel == panel]
        assert max(off) > 0.2
    printed = table.compute["printed"]["dtd"]
    assert printed["nce"] == printed["log_me"]


def test_the_one_cell_is_within_what_rounding_leaves_open() -> None:
    printed = find_computed_tables()["logme_2021/model_ranking"].compute["printed"]["dtd"]
    accuracy, score = np.array(printed["accuracy"]), np.array(printed["log_me"])
    x, y = accuracy - accuracy.mean(), score - score.mean()
    r = (x @ y) / np.sqrt((x @ x) * (y @ y))
    slope = x / np.sqrt((x @ x) * (y @ y)) - r * y / (y @ y)
    lowest = score - 0.0005 * np.sign(slope)  # each as far as it rounds to what is printed
    assert np.corrcoef(accuracy, lowest)[0, 1] < 0.6175
