from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.methods.control import Control
from da_framework.methods.importance_weighting import ImportanceWeighting

SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = []


def rising(source: Tensor, target: Tensor) -> Tensor:
    """1, 2, 3, ... by row."""
    SHAPES.append((tuple(source.shape), tuple(target.shape)))
    return torch.arange(1.0, len(source) + 1).double()


KEYS: dict[str, Any] = {"ratio": rising, "of": "features", "exponent": 1.0}


def refreshed(tiny: Any, **keys: Any) -> Any:
    """A method that has seen 20 source rows, the last first, and 5 target rows."""
    method = tiny.method(ImportanceWeighting, **(KEYS | keys))
    rows = {
        "source": tiny.samples("source", rows=20)._replace(row=torch.arange(20).flip(0)),
        "target": tiny.samples("target"),
    }
    method.refresh({role: method.evaluate_samples(own) for role, own in rows.items()})
    return method


def test_weights_are_the_ratios_scaled_to_mean_one_at_their_rows(tiny: Any) -> None:
    method = refreshed(tiny)
    assert_close(method.weights, torch.arange(1.0, 21).double().flip(0) / 10.5)
    assert "weights" in method.state_dict()


@pytest.mark.parametrize("exponent", [0.0, 0.5])
def test_the_exponent_flattens_them(tiny: Any, exponent: float) -> None:
    expected = torch.arange(1.0, 21).double().flip(0) ** exponent
    assert_close(refreshed(tiny, exponent=exponent).weights, expected / expected.mean())


@pytest.mark.parametrize(("of", "d"), [("features", 4), ("inputs", 2)])
def test_the_densities_are_of_features_or_inputs(tiny: Any, of: str, d: int) -> None:
    SHAPES.clear()
    refreshed(tiny, of=of)
    assert [((20, d), (5, d))] == SHAPES


def test_images_are_flattened_and_scaled(tiny: Any) -> None:
    method = tiny.method(ImportanceWeighting, **(KEYS | {"of": "inputs"}))
    outputs = method.evaluate_samples(tiny.samples("source"))
    images = torch.full((7, 1, 3, 3), 255, dtype=torch.uint8)
    assert torch.equal(method.read_samples(outputs._replace(x=images)), torch.ones(7, 9))


def test_the_loss_is_the_weighted_cross_entropy(tiny: Any) -> None:
    method, batch = refreshed(tiny), tiny.batch("source", "target", "target_labelled")
    (objective,) = method.objectives(batch)
    x = torch.cat([batch[role].x for role in ("source", "target", "target_labelled")])
    _, logits = method.network(x)
    weights = (20 - batch["source"].row) / 10.5
    losses = -logits[:7].log_softmax(1)[torch.arange(7), batch["source"].y]
    labelled = cross_entropy(logits[12:], batch["target_labelled"].y)
    weighted = (weights * losses).sum() / weights.sum()
    assert_close(objective.total, 0.5 * weighted + 0.5 * labelled)


def test_a_row_of_weight_zero_teaches_nothing(tiny: Any) -> None:
    method, batch = tiny.method(ImportanceWeighting, **KEYS), tiny.batch("source", "target")
    method.weights[batch["source"].row[2]] = 0.0
    outputs = method.outputs(batch)
    value = method.all_terms(outputs)["source"].value
    (gradient,) = torch.autograd.grad(value, outputs["source"].logits)
    assert (gradient[2] == 0).all()
    assert (gradient[[0, 1, 3, 4, 5, 6]] != 0).all()


@pytest.mark.parametrize("exponent", [0.0, None])
def test_equal_weights_are_none_at_all(tiny: Any, exponent: float | None) -> None:
    """At γ = 0, and before any refresh."""
    weighted = (
        tiny.method(ImportanceWeighting, **KEYS)
        if exponent is None
        else refreshed(tiny, exponent=exponent)
    )
    batches = [tiny.batch("source", "target", "target_labelled", seed=s) for s in range(4)]
    first, other = tiny.train(weighted, batches), tiny.train(tiny.method(Control), batches)
    assert_close(first.network.state_dict(), other.network.state_dict())


def test_labels_are_smoothed_as_everywhere(tiny: Any) -> None:
    batch = tiny.batch()
    (mine,), (plain,) = (
        tiny.method(kind, label_smoothing=0.1, **keys).objectives(batch)
        for kind, keys in ((ImportanceWeighting, KEYS), (Control, {}))
    )
    assert_close(mine.terms["source"].value, plain.terms["source"].value)


def test_the_effective_sample_size_is_logged_and_costs_nothing(tiny: Any) -> None:
    (objective,) = refreshed(tiny).objectives(tiny.batch())
    term = objective.terms["effective_sample_size"]
    assert term.value.item() == pytest.approx(210**2 / 2870)  # (Σ i)² / Σ i², i to 20
    assert term.weight == 0
    assert objective.total == objective.terms["source"].value


@pytest.mark.parametrize(("counting", "warned"), [(1, True), (2, False), (20, False)])
def test_a_collapse_is_said_in_words(tiny: Any, counting: int, warned: bool) -> None:
    method = tiny.method(ImportanceWeighting, **KEYS)
    method.weights.zero_()[:counting] = 20 / counting
    warnings = list(method.warnings({}))
    assert len(warnings) == warned
    assert not warned or "20 source rows are worth 1 (" in warnings[0]


def test_ratios_of_nothing_but_zeros_stay_finite_and_are_warned_of(tiny: Any) -> None:
    method = refreshed(tiny, ratio=lambda source, target: torch.zeros(20).double())
    (objective,) = method.objectives(tiny.batch())
    assert objective.total == 0
    assert "worth 0 (" in next(iter(method.warnings({})))
