"""Neighbours that are kept by sample: who is near, and what is kept of whom."""

from typing import Any

import torch
from torch.nn.functional import normalize
from torch.testing import assert_close

from da_framework.methods.neighborhood import NeighborhoodMethod


def outputs_of(features: torch.Tensor, logits: torch.Tensor, tiny: Any, row: Any = None) -> Any:
    """Outputs of the target's samples with these rows."""
    plain = tiny.method(NeighborhoodMethod, neighbors=1)
    (target,) = plain.outputs(tiny.batch("target")).values()
    row = torch.arange(len(features)) if row is None else row
    return target._replace(features=features, logits=logits, row=row)


def draw(tiny: Any, rows: int = 20, seed: int = 0) -> tuple[Any, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, 4, dtype=torch.float64, generator=generator)
    logits = torch.randn(rows, 3, dtype=torch.float64, generator=generator)
    return outputs_of(features, logits, tiny), features, logits


def test_the_nearest_are_those_of_the_largest_cosine_but_oneself(tiny: Any) -> None:
    target, features, _ = draw(tiny)
    method = tiny.method(NeighborhoodMethod, neighbors=4)
    method.refresh({"target": target})
    rows = torch.tensor([3, 17, 0])
    found = method.nearest(rows, 4)
    directions = normalize(features)
    for row, near in zip(rows.tolist(), found.tolist(), strict=True):
        cosine = (directions @ directions[row]).tolist()
        order = sorted(range(20), key=cosine.__getitem__, reverse=True)
        assert near == [other for other in order if other != row][:4]


def test_a_sample_that_another_equals_is_still_not_its_own_neighbour(tiny: Any) -> None:
    _, features, logits = draw(tiny)
    same = outputs_of(features[:1].expand(20, 4), logits, tiny)
    method = tiny.method(NeighborhoodMethod, neighbors=4)
    method.refresh({"target": same})
    rows = torch.arange(20)
    assert not (method.nearest(rows, 4) == rows[:, None]).any()
    assert method.nearest(rows, 50).shape == (20, 19)


def test_a_batch_renews_its_own_samples_alone(tiny: Any) -> None:
    target, features, logits = draw(tiny)
    method = tiny.method(NeighborhoodMethod, neighbors=4)
    method.refresh({"target": target})
    row = torch.tensor([7, 2])
    method.keep(outputs_of(-features[:2], 2 * logits[:2], tiny, row))
    expected, predictions = normalize(features), logits.softmax(1)
    expected[row], predictions[row] = -expected[:2].clone(), (2 * logits[:2]).softmax(1)
    assert_close(method.kept_features, expected)
    assert_close(method.kept_predictions, predictions)
    assert {"kept_features", "kept_predictions"} <= method.state_dict().keys()
