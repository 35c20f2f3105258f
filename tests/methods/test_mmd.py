from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.core.batch import Batch, Outputs, Samples, Task
from da_framework.core.schedules import Constant, SigmoidRamp
from da_framework.losses.mmd import Bandwidth, MMDEstimator, bandwidths, mmd
from da_framework.methods.mmd import MMD
from da_framework.networks.mlp import MLP
from da_framework.networks.network import Network

TASK = Task(("a", "b"), ("s", "t"), {"source": 6, "target": 4}, (2,))
FACTORS = [0.5, 1.0, 2.0]


def method(**keys: Any) -> MMD:
    torch.manual_seed(0)
    backbone = partial(MLP, widths=[5], dropout=0.0)
    network = Network(
        backbone=backbone, bottleneck=[4], head=[], dropout=0.0, shape=(2,), classes=2
    )
    given: dict[str, Any] = {
        "weight": 1.0,
        "ramp": Constant(1.0),
        "estimator": "biased",
        "bandwidth": "mean",
        "factors": FACTORS,
        "alpha": 0.5,
        "batch_norm": "shared",
    }
    return MMD(network.double(), TASK, **(given | keys))


def samples(rows: int, domain: int) -> Samples:
    generator = torch.Generator().manual_seed(domain)
    x = torch.randn(rows, 2, dtype=torch.float64, generator=generator) + domain
    y = torch.randint(2, (rows,), generator=generator) if domain == 0 else torch.full((rows,), -1)
    return Samples(x, y, torch.full((rows,), domain), torch.arange(rows))


BATCH: Batch = {"source": samples(6, 0), "target": samples(4, 1)}


@pytest.mark.parametrize("bandwidth", ["mean", "median", "fixed"])
@pytest.mark.parametrize("estimator", ["biased", "unbiased", "linear"])
def test_the_term_is_the_discrepancy_of_the_features(
    estimator: MMDEstimator, bandwidth: Bandwidth
) -> None:
    tested = method(estimator=estimator, bandwidth=bandwidth)
    (objective,) = tested.objectives(BATCH)
    source, target = (tested.network(BATCH[role].x)[0] for role in ("source", "target"))
    widths = bandwidths(source, target, policy=bandwidth, factors=torch.tensor(FACTORS))
    expected = mmd(source, target, bandwidths=widths, estimator=estimator)
    assert_close(objective.terms["mmd"].value, expected)
    encoder = list(tested.network.encoder.parameters())
    assert_close(
        torch.autograd.grad(objective.terms["mmd"].value, encoder),
        torch.autograd.grad(expected, encoder),
    )


def test_total_is_the_source_s_loss_and_the_weighted_discrepancy() -> None:
    tested = method(weight=0.4)
    (objective,) = tested.objectives(BATCH)
    assert list(objective.terms) == ["source", "mmd"]
    supervised = cross_entropy(tested.network(BATCH["source"].x)[1], BATCH["source"].y)
    assert_close(objective.total, supervised + 0.4 * objective.terms["mmd"].value)


def test_the_head_learns_nothing_from_the_discrepancy() -> None:
    tested = method()
    (objective,) = tested.objectives(BATCH)
    head = list(tested.network.head.parameters())
    unused = torch.autograd.grad(objective.terms["mmd"].value, head, allow_unused=True)
    assert unused == (None,) * len(head)


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_the_weight_follows_the_ramp(progress: float) -> None:
    ramp = SigmoidRamp(gamma=10.0, high=1.0)
    tested = method(weight=2.0, ramp=ramp)
    tested.progress = progress
    (objective,) = tested.objectives(BATCH)
    assert objective.terms["mmd"].weight == pytest.approx(2.0 * ramp(progress))
    assert objective.terms["mmd"].value > 0, "logged unweighted"


def test_a_plain_number_is_a_constant_ramp() -> None:
    tested = method(weight=2.0, ramp=0.25)
    (objective,) = tested.objectives(BATCH)
    assert objective.terms["mmd"].weight == 0.5


def evaluated(source: Tensor, target: Tensor) -> dict[str, Outputs]:
    def side(features: Tensor) -> Outputs:
        index = torch.arange(len(features))
        return Outputs(features, index, index, index, features, features)

    return {"source": side(source), "target": side(target)}


FEATURES = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("factors", [[1e-3], [1e-4, 1e-2]])
def test_warns_when_fixed_bandwidths_see_nothing(factors: list[float]) -> None:
    tested = method(bandwidth="fixed", factors=factors)
    (warning,) = tested.warnings(evaluated(FEATURES, FEATURES + 5))
    assert "see nothing" in warning
    assert "method.bandwidth=mean" in warning


@pytest.mark.parametrize(
    ("bandwidth", "factors"),
    [("fixed", [1e-3, 3.0]), ("fixed", [1.0]), ("mean", FACTORS), ("median", FACTORS)],
)
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_is_silent_when_a_kernel_sees_something(
    bandwidth: Bandwidth, factors: list[float], shift: float
) -> None:
    tested = method(bandwidth=bandwidth, factors=factors)
    assert list(tested.warnings(evaluated(FEATURES, FEATURES[:50] + shift))) == []


def test_relative_bandwidths_fit_features_of_any_scale() -> None:
    for bandwidth in ("mean", "median"):
        tested = method(bandwidth=bandwidth)
        for scale in (1e-4, 1e4):
            assert list(tested.warnings(evaluated(scale * FEATURES, scale * (FEATURES + 1)))) == []


def test_factors_are_saved_with_the_model_but_not_learnt() -> None:
    tested = method()
    assert tested.state_dict()["factors"].tolist() == FACTORS
    assert "factors" not in dict(tested.named_parameters())


@pytest.mark.parametrize(
    ("factors", "bandwidth", "geometric_bandwidths"),
    [
        ([0.25, 0.5, 1.0, 2.0], "mean", True),
        ([0.25, 0.5, 1.0, 2.0], "fixed", False),
        ([1.0, 3.0], "median", False),
        ([2.0, 1.0], "mean", False),
        ([1.0], "mean", True),
    ],
)
def test_geometric_factors_are_recognised(
    tiny: Any, factors: list[float], bandwidth: str, geometric_bandwidths: bool
) -> None:
    method = tiny.method(
        MMD, weight=1.0, ramp=1.0, estimator="biased", bandwidth=bandwidth, factors=factors
    )
    assert method.geometric_bandwidths is geometric_bandwidths
