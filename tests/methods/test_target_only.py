from functools import partial

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.core.batch import Samples, Task
from da_framework.methods.target_only import TargetOnly
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


TARGET = samples(3, 2)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_total_is_the_labelled_target_s_loss_whatever_alpha(alpha: float) -> None:
    net = network()
    method = TargetOnly(net, TASK, alpha=alpha, batch_norm="shared")
    (objective,) = method.objectives({"target_labelled": TARGET})
    assert list(objective.terms) == ["target_labelled"]
    assert_close(objective.total, cross_entropy(net(TARGET.x)[1], TARGET.y))


def test_never_sees_the_source() -> None:
    assert TargetOnly.roles == ("target_labelled",)
    source = samples(4, 1)._replace(x=torch.full((4, 2), torch.nan))
    method = TargetOnly(network(), TASK, alpha=0.5, batch_norm="shared")
    (objective,) = method.objectives({"source": source, "target_labelled": TARGET})
    assert objective.total.isfinite()
