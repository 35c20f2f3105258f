"""What the tests of methods share: a tiny method in float64, batches, and a loop of steps."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from da_framework.core.batch import Batch, Samples, Task
from da_framework.methods.base import Method
from da_framework.networks.frozen import Frozen
from da_framework.networks.mlp import MLP
from da_framework.networks.network import Network

ROWS = {"source": 7, "target": 5, "target_labelled": 4, "target_strong": 5}


class Tiny:
    """Methods and batches of a few rows: two inputs, four features, three classes.

    Attributes:
        task: of which every role has 20 training rows.
    """

    classes = 3

    def __init__(self) -> None:
        self.task = Task(("a", "b", "c"), ("s", "t"), dict.fromkeys(ROWS, 20), (2,))

    def network(
        self, classes: int = 3, *, dropout: float = 0.0, norm: bool = False, seed: int = 0
    ) -> Network:
        """Two layers and a linear head; with ``norm`` there is batch norm between them."""
        torch.manual_seed(seed)

        def normed(shape: tuple[int, ...]) -> nn.Module:
            return nn.Sequential(nn.Linear(shape[0], 5), nn.BatchNorm1d(5), nn.ReLU())

        backbone = normed if norm else partial(MLP, widths=[5], dropout=0.0)
        return Network(
            (2,), classes, backbone=backbone, bottleneck=[4], head=[], dropout=dropout
        ).double()

    def begun(self, *, fresh: bool = False, **keys: Any) -> Network:
        """A network as ``init_from`` leaves it; its former head had four classes if it is fresh."""
        network = self.network(**keys)
        names = [name for name, _ in network.named_parameters()]
        network.loaded = frozenset(n for n in names if not (fresh and n.startswith("head.")))
        if fresh:
            torch.manual_seed(9)
            network.keep_former_head(network.another_head(4).double().state_dict())
            network._former_head[0].double()
        return network

    def method(
        self,
        kind: type[Method],
        *,
        network: Network | None = None,
        domains: int = 2,
        seed: int = 0,
        teachers: tuple[Network, ...] = (),
        **keys: Any,
    ) -> Any:
        """A method in float64; ``domains`` of which the last is the target."""
        names = (*(f"s{i}" for i in range(domains - 1)), "t")
        frozen = tuple(map(Frozen, teachers))
        task = Task(("a", "b", "c"), names, self.task.rows, (2,), domains - 1, frozen)
        network = network or self.network(kind.head_classes(3))
        torch.manual_seed(seed + 1)
        given: dict[str, Any] = {"alpha": 0.5, "batch_norm": "shared"} | keys
        return kind(network, task, **given).double()

    def samples(
        self, role: str, *, rows: int | None = None, seed: int = 0, domains: int = 2
    ) -> Any:
        """Random rows; labels only where a role has them, sources in turn."""
        rows = ROWS[role] if rows is None else rows
        generator = torch.Generator().manual_seed(sum(map(ord, role)) + seed)
        target = role != "source"
        x = torch.randn(rows, 2, dtype=torch.float64, generator=generator) + 1.5 * target
        y = torch.randint(3, (rows,), generator=generator)
        if role in ("target", "target_strong"):
            y = torch.full((rows,), -1)
        domain = torch.arange(rows).sort().values * (domains - 1) // max(rows, 1)
        if target:
            domain = torch.full((rows,), domains - 1)
        return Samples(x, y, domain, torch.randperm(20, generator=generator)[:rows])

    def batch(self, *roles: str, seed: int = 0, domains: int = 2, **rows: int) -> Batch:
        """Unequal numbers of rows of these roles (source and target); ``source=3`` sets one."""
        wanted = roles or ("source", "target")
        batch = {
            role: self.samples(role, rows=rows.get(role), seed=seed, domains=domains)
            for role in wanted
        }
        if "target_strong" in batch:
            strong = batch["target"]
            batch["target_strong"] = strong._replace(x=strong.x + 0.1)
        return batch

    def train(self, method: Method, batches: Iterable[Batch], *, lr: float = 0.1) -> Method:
        """Steps as the trainer takes them, by plain SGD: every move before the next is made."""
        optimizers = {
            name: torch.optim.SGD(
                [p for p in nn.ModuleList(modules).parameters() if p.requires_grad], lr=lr
            )
            for name, modules in method.parts().items()
        }
        for step, batch in enumerate(batches):
            method.generator.manual_seed(step)
            for objective in method.objectives(batch):
                method.zero_grad()
                objective.total.backward()  # type: ignore[no-untyped-call]
                for name in objective.updates:
                    optimizers[name].step()
                method.updated(objective)
        return method


@pytest.fixture
def tiny() -> Tiny:
    return Tiny()


def gradients(value: Tensor, module: nn.Module) -> list[Tensor]:
    """Of a value in a module's weights; zeros where it does not depend on them."""
    weights = list(module.parameters())
    derived = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(weights, derived, strict=True)]


@pytest.fixture
def gradient() -> Any:
    return gradients
