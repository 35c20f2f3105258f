from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.core.batch import Samples, Task
from da_framework.methods.source_only import SourceOnly
from da_framework.networks.mlp import MLP
from da_framework.networks.network import Network

TASK = Task(("a", "b"), ("s", "t"), {}, (2,))


def normed(shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.Linear(shape[0], 4), nn.BatchNorm1d(4))


BACKBONES = [partial(MLP, widths=[5], dropout=0.0), normed]


def network(backbone: Callable[[tuple[int, ...]], nn.Module]) -> Network:
    torch.manual_seed(0)
    return Network(
        backbone=backbone, bottleneck=[4], head=[], dropout=0.0, shape=(2,), classes=2
    ).double()


def samples(rows: int, seed: int) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 2, dtype=torch.float64, generator=generator) + seed
    index = torch.arange(rows)
    return Samples(x, torch.randint(2, (rows,), generator=generator), index * 0, index)


SOURCE = samples(5, 1)


def method(backbone: Callable[[tuple[int, ...]], nn.Module]) -> SourceOnly:
    # alpha is of no account: the source stands alone
    return SourceOnly(network(backbone), TASK, alpha=0.3, batch_norm="shared")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_total_is_the_source_s_loss(backbone: Callable[[tuple[int, ...]], nn.Module]) -> None:
    (objective,) = method(backbone).objectives({"source": SOURCE})
    assert list(objective.terms) == ["source"]
    assert_close(objective.total, cross_entropy(network(backbone)(SOURCE.x)[1], SOURCE.y))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_never_touches_the_target(backbone: Callable[[tuple[int, ...]], nn.Module]) -> None:
    assert SourceOnly.roles == ("source",)
    target = samples(4, 2)._replace(x=torch.full((4, 2), torch.nan))
    alone, beside = method(backbone), method(backbone)
    (clean,) = alone.objectives({"source": SOURCE})
    (seen,) = beside.objectives({"source": SOURCE, "target": target, "target_labelled": target})
    assert torch.equal(clean.total, seen.total)
    assert_close(dict(beside.state_dict()), dict(alone.state_dict()))
