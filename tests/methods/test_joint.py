from functools import partial

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.core.batch import Batch, Samples, Task
from da_framework.methods.joint import Joint
from da_framework.networks.mlp import MLP
from da_framework.networks.network import Network

TASK = Task(("a", "b"), ("s", "t"), {}, (2,))


def network() -> Network:
    torch.manual_seed(0)
    backbone = partial(MLP, widths=[5], dropout=0.0)
    return Network(
        backbone=backbone, bottleneck=[4], head=[], dropout=0.0, shape=(2,), classes=2
    ).double()


def samples(rows: int, seed: int) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 2, dtype=torch.float64, generator=generator) + seed
    index = torch.arange(rows)
    return Samples(x, torch.randint(2, (rows,), generator=generator), index * 0, index)


BATCH: Batch = {"source": samples(5, 1), "target_labelled": samples(3, 2)}


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_total_is_the_weighted_joint_loss(alpha: float) -> None:
    net = network()
    (objective,) = Joint(net, TASK, alpha=alpha, batch_norm="shared").objectives(BATCH)
    assert list(objective.terms) == ["source", "target_labelled"]
    source, target = (
        cross_entropy(net(BATCH[role].x)[1], BATCH[role].y)
        for role in ("source", "target_labelled")
    )
    expected = alpha * source + (1 - alpha) * target
    assert_close(objective.total, expected)
    parameters = list(net.parameters())
    assert_close(
        torch.autograd.grad(objective.total, parameters),
        torch.autograd.grad(expected, parameters),
    )


def test_never_sees_the_unlabelled_target() -> None:
    assert Joint.roles == ("source", "target_labelled")
    poisoned = {**BATCH, "target": samples(4, 3)._replace(x=torch.full((4, 2), torch.nan))}
    method = Joint(network(), TASK, alpha=0.5, batch_norm="shared")
    (clean,), (seen,) = method.objectives(BATCH), method.objectives(poisoned)
    assert torch.equal(clean.total, seen.total)
