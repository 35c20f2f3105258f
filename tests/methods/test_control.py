from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.core.batch import Batch, Samples, Task
from da_framework.methods.control import Control
from da_framework.methods.source_only import SourceOnly
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


def normed() -> Network:
    torch.manual_seed(0)

    def backbone(shape: tuple[int, ...]) -> nn.Module:
        return nn.Sequential(nn.Linear(shape[0], 4), nn.BatchNorm1d(4))

    return Network(
        backbone=backbone, bottleneck=[], head=[], dropout=0.0, shape=(2,), classes=2
    ).double()


BATCH: Batch = {"source": samples(5, 1), "target": samples(3, 2)}


def total(method: Control | SourceOnly) -> Tensor:
    (objective,) = method.objectives(BATCH)
    assert list(objective.terms) == ["source"]
    return objective.total


def test_without_batch_norm_it_is_source_only() -> None:
    net = network()
    parameters = list(net.parameters())
    control = total(Control(net, TASK, alpha=0.3, batch_norm="shared"))
    source_only = total(SourceOnly(net, TASK, alpha=0.3, batch_norm="shared"))
    assert_close(control, source_only)
    assert_close(
        torch.autograd.grad(control, parameters), torch.autograd.grad(source_only, parameters)
    )


def test_batch_norm_sees_the_target() -> None:
    net = normed()
    reference = deepcopy(net)
    value = total(Control(net, TASK, alpha=0.3, batch_norm="shared"))
    _, logits = reference(torch.cat([BATCH["source"].x, BATCH["target"].x]))
    assert_close(value, cross_entropy(logits[:5], BATCH["source"].y))
    assert_close(dict(net.named_buffers()), dict(reference.named_buffers()))
    alone = total(SourceOnly(normed(), TASK, alpha=0.3, batch_norm="shared"))
    assert not torch.allclose(value, alone)


def test_the_target_s_labels_are_in_no_loss() -> None:
    hidden = {**BATCH, "target": BATCH["target"]._replace(y=torch.full((3,), -1))}
    method = Control(network(), TASK, alpha=0.3, batch_norm="shared")
    (objective,) = method.objectives(hidden)
    assert torch.equal(objective.total, total(method))
