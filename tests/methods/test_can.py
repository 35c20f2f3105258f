from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from da_framework.core.schedules import SigmoidRamp
from da_framework.losses.contrastive_discrepancy import contrastive_discrepancy
from da_framework.losses.mmd import bandwidths
from da_framework.methods.can import CAN

KEYS: dict[str, Any] = {
    "weight": 0.7,
    "ramp": 1.0,
    "distance": 0.1,
    "fewest": 3,
    "rounds": 5,
    "factors": [0.5, 2.0],
}
# which way each class's features point, in the source and, turned, in the target
SOURCE = torch.eye(4, dtype=torch.float64)[:3]
TARGET = torch.nn.functional.normalize(SOURCE + 0.4 * SOURCE.roll(1, 0))


def refreshed(tiny: Any, target: Tensor, **keys: Any) -> Any:
    """A method whose source has four rows a class, and whose target these features."""
    method = tiny.method(CAN, **(KEYS | keys))
    y = torch.arange(3).repeat_interleave(4)
    outputs = method.outputs(tiny.batch())
    method.refresh(
        {
            "source": outputs["source"]._replace(features=3 * SOURCE[y], y=y),
            "target": outputs["target"]._replace(features=target),
        }
    )
    return method


def test_clusters_begin_at_the_source_s_centres_and_go_to_the_target_s(tiny: Any) -> None:
    right = torch.tensor([0] * 8 + [1] * 7 + [2] * 5)
    noise = 0.05 * torch.randn(
        20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    method = refreshed(tiny, 5 * TARGET[right] + noise)
    assert torch.equal(method.clusters, right)
    assert "clusters" in method.state_dict()


def test_far_rows_and_small_clusters_are_left_out(tiny: Any) -> None:
    labels = torch.tensor([0] * 9 + [1] * 9 + [2] * 2)
    features = TARGET[labels].clone()
    features[0] = torch.tensor([0.6, 0.0, 0.0, 0.8])  # half way out of the plane
    method = refreshed(tiny, features, distance=0.05)
    assert method.clusters[0] == -1
    assert (method.clusters[1:9] == 0).all()
    assert (method.clusters[9:18] == 1).all()
    assert (method.clusters[18:] == -1).all()


def test_the_distance_is_half_of_one_less_the_cosine(tiny: Any) -> None:
    """Samples at 20 degrees, (1 - cos) / 2 = .030, are within .05; at 30, .067, they are not."""
    for degrees, kept in ((20.0, True), (30.0, False)):
        turn = torch.tensor(degrees, dtype=torch.float64).deg2rad()
        # six on either side of the first direction, which so stays the centre
        sides = [[turn.cos(), 0.0, 0.0, sign * turn.sin()] for sign in (1.0, -1.0)]
        features = torch.tensor(sides * 6 + SOURCE[1:].tolist() * 4, dtype=torch.float64)
        method = refreshed(tiny, features, distance=0.05)
        assert (method.clusters[:12] == 0).all() if kept else (method.clusters[:12] == -1).all()
        assert (method.clusters[12:] > 0).all()


def test_the_term_is_the_discrepancy_by_these_clusters(tiny: Any) -> None:
    method, batch = tiny.method(CAN, **KEYS), tiny.batch()
    method.clusters.copy_(torch.arange(20) % 3)
    (objective,) = method.objectives(batch)
    s, t = (method.network(batch[role].x)[0] for role in ("source", "target"))
    widths = bandwidths(s, t, policy="mean", factors=torch.tensor([0.5, 2.0]).double())
    expected = contrastive_discrepancy(
        s,
        t,
        y_source=batch["source"].y,
        y_target=batch["target"].row % 3,
        classes=3,
        bandwidths=widths,
    )
    assert_close(objective.terms["contrast"].value, expected)
    assert objective.terms["contrast"].weight == 0.7


def test_before_any_cluster_nothing_is_pulled(tiny: Any, gradient: Any) -> None:
    method = tiny.method(CAN, **KEYS)
    (objective,) = method.objectives(tiny.batch())
    value = objective.terms["contrast"].value
    assert value == 0
    assert not any(own.any() for own in gradient(value, method.network))


def test_a_row_goes_to_the_centre_that_has_moved_near_it(tiny: Any) -> None:
    degrees = torch.tensor([35.0] * 9 + [50.0] + [90.0] * 10, dtype=torch.float64).deg2rad()
    features = torch.stack([degrees.cos(), degrees.sin(), *torch.zeros(2, 20).double()], 1)
    # of the source's centres, at 0 and 90 degrees, the second is the nearer to 50
    assert features[9] @ SOURCE[1] > features[9] @ SOURCE[0]
    assert refreshed(tiny, features, distance=1.0).clusters[9] == 0


def test_a_cluster_without_rows_begins_again_at_the_source_s_centre(tiny: Any) -> None:
    away, between = [1.0, 0.0, 0.0, -3.0], [1.0, 0.0, 0.9, 0.0]
    features = torch.tensor([away] * 9 + [between] + [[0.0, 1.0, 0.0, 0.0]] * 10).double()
    # at first nobody is nearest the third; then the first has gone from the row between them
    assert not (features @ SOURCE.T).argmax(1).eq(2).any()
    assert refreshed(tiny, features, distance=1.0, fewest=1).clusters[9] == 2


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_the_weight_follows_the_ramp(tiny: Any, progress: float) -> None:
    ramp = SigmoidRamp(gamma=10.0, high=1.0)
    method = tiny.method(CAN, **(KEYS | {"ramp": ramp}))
    method.progress = progress
    (objective,) = method.objectives(tiny.batch())
    assert objective.terms["contrast"].weight == pytest.approx(0.7 * ramp(progress))
