"""The data as training sees it: endless streams of each role, and rows to evaluate on."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from itertools import cycle
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from da_framework.core.batch import UNLABELLED, Batch, Samples, Task, as_input
from da_framework.core.errors import InputError, MissingRoleError, listed
from da_framework.core.seeding import mix
from da_framework.datasets.augmentations import BatchRandom
from da_framework.datasets.base import Array, Dataset, DomainRows, RoleSplit, hide_labels
from da_framework.datasets.memmap import Stored

VIEWS = {"target_strong": "target"}
"""Roles that are another role's rows seen another way."""


class Domains(pl.LightningDataModule):
    """Roles of a data set as tensors.

    Target labels stop here: but for the few given away as ``target_labelled`` they are replaced
    by ``UNLABELLED`` before anything else sees them. The true ones stand in ``oracle`` alone.

    Args:
        dataset: domains, and which of their rows play which role.
        roles: what a batch must hold (``Method.roles``).
        seed: of the order of rows.
        optional: what it holds as well where the data has it (``Method.optional``).

    Attributes:
        task: classes, domains and rows.
        train: role to all its training rows.
        validation: ``source`` and ``target`` rows for validators.
        test: the target's rows that results are about, labels hidden.
        oracle: their true labels.
    """

    def __init__(
        self, dataset: Dataset, roles: Sequence[str], *, seed: int, optional: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.seed = seed
        self._pools: dict[tuple[str, bool], Samples] = {}
        assignment = dataset.assign()
        shapes = [dataset[name].x.shape[1:] for name in dataset.domains]
        self._shape = max(shapes)  # flat where they differ
        _check_roles(roles, assignment, dataset)
        wanted = [VIEWS.get(role, role) for role in roles]
        used = dict.fromkeys((*wanted, *(r for r in optional if r in assignment.train)))
        self.views = [role for role in roles if role in VIEWS]
        self.train = {role: self._samples(assignment.train[role]) for role in used}
        self.validation = {
            role: self._samples(parts) for role, parts in assignment.validation.items() if parts
        }
        self.test = self._samples(assignment.test)
        self.oracle = torch.cat(
            [
                torch.as_tensor(dataset.task_labels(dataset[part.domain].y[part.rows]))
                for part in assignment.test
            ]
        )
        rows = {role: len(samples.x) for role, samples in self.train.items()}
        self.task = Task(
            classes=dataset.known,
            domains=dataset.domains,
            rows=rows | {view: rows[VIEWS[view]] for view in self.views},
            sources=len(dataset.source),
            shape=self._shape,
            widths=tuple(width for (width,) in shapes) if len(set(shapes)) > 1 else (),
        )
        self.streams = {
            role: Stream(samples, dataset.batch_size.get(role, 0), seed=mix(seed, role), role=role)
            for role, samples in self.train.items()
        }

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Batch of a step: a pure function of seed, step and rank; ranks share the global batch."""
        batch = {role: stream.batch(step, rank, world) for role, stream in self.streams.items()}
        # the strong ones first: they are of the plain rows
        seen = {view: (VIEWS[view], self.dataset.strong) for view in self.views}
        if self.dataset.weak is not None:
            seen |= {role: (role, self.dataset.weak) for role in self.streams}
        for role, (of, view) in seen.items():
            size, plain = self.streams[of].size, batch[of]
            own = slice(rank * len(plain.x), (rank + 1) * len(plain.x))
            draws = BatchRandom(size, own, seed=mix(self.seed, role, step), like=plain.x)
            batch[role] = plain._replace(x=view(plain.x, draws))
        return batch

    def reversed(self, label: Callable[[Samples], Tensor]) -> "Domains":
        """The other way: the target, labelled so, is the source; the source, hidden, the target.

        The held-out source, its labels known, is what is tested on.

        Raises:
            InputError: there are other roles or several domains on a side.
        """
        other = {*self.streams, *self.views} - {"source", "target", "target_labelled"}
        if len(self.task.domains) != 2 or self.task.sources != 1 or other:
            raise InputError(
                "validator=reverse_validation trains from the target back to the source: it needs "
                f"one of each and no other role, but there are {listed(self.task.domains)}"
                + (f" and the role {listed(sorted(other))}" if other else "")
            )
        assigned = self.dataset.assign()
        if not assigned.validation["source"]:
            raise InputError(
                "validator=reverse_validation tests on held-out source: dataset.val=0.1"
            )
        device = self.test.x.device
        source, target, held_out = (
            Samples(*(field.to(device) for field in self._samples(parts)))
            for parts in (
                assigned.train["source"],
                assigned.train["target"],
                assigned.validation["source"],
            )
        )
        train = {
            "source": target._replace(y=label(target), domain=1 - target.domain),
            "target": source._replace(
                y=torch.full_like(source.y, UNLABELLED), domain=1 - source.domain
            ),
        }
        turned = copy(self)
        turned.train = train
        turned.test = held_out._replace(domain=1 - held_out.domain)
        turned.streams = {
            role: Stream(
                samples, self.dataset.batch_size[role], seed=mix(self.seed, role), role=role
            )
            for role, samples in train.items()
            if role in self.streams
        }
        return turned

    def to(self, device: torch.device) -> None:
        """Moves all rows to where training is."""
        moved: dict[int, Samples] = {}

        def move(samples: Samples) -> Samples:
            if id(samples) not in moved:
                moved[id(samples)] = Samples(*(field.to(device) for field in samples))
            return moved[id(samples)]

        self.train = {role: move(samples) for role, samples in self.train.items()}
        self.validation = {role: move(samples) for role, samples in self.validation.items()}
        self.test = move(self.test)
        self.oracle = self.oracle.to(device)
        for role, stream in self.streams.items():
            stream.samples = self.train[role]

    def train_dataloader(self) -> "EndlessLoader":
        """One tick after another: what a step needs, it asks ``batch`` for."""
        return EndlessLoader()

    def _samples(self, parts: Sequence[DomainRows]) -> Samples:
        """Rows of several parts; the same rows are held once."""
        key = (
            "|".join(f"{part.domain}:{mix(*part.rows.tolist())}" for part in parts),
            parts[0].labelled,
        )
        if key not in self._pools:
            dataset = self.dataset
            x: Any  # indexed alike
            if any(isinstance(dataset[p.domain].x, np.memmap) for p in parts):
                x = Stored([(dataset[p.domain].x, p.rows) for p in parts])
            else:
                xs = [_padded(dataset[p.domain].x[p.rows], self._shape) for p in parts]
                x = torch.as_tensor(np.concatenate(xs))
            ys = [dataset[p.domain].y[p.rows] for p in parts]
            domains = [np.full(len(p.rows), dataset.domains.index(p.domain)) for p in parts]
            y = np.concatenate(
                [
                    dataset.task_labels(y) if p.labelled else hide_labels(y)
                    for p, y in zip(parts, ys, strict=True)
                ]
            )
            self._pools[key] = Samples(
                x=x,
                y=torch.as_tensor(y),
                domain=torch.as_tensor(np.concatenate(domains)),
                row=torch.arange(len(y)),
            )
        return self._pools[key]


class Stream:
    """Endless batches of one role, each row once a pass, the passes shuffled.

    Several domains have equal shares of a batch. A batch larger than its domain holds rows twice.
    """

    def __init__(self, samples: Samples, size: int, *, seed: int, role: str) -> None:
        if size < 1:
            raise InputError(f"the role {role} needs a batch size: dataset.batch_size.{role}=64")
        self.samples = samples
        self.size = size
        self.role = role
        domains = torch.unique(samples.domain).tolist()
        if size < len(domains):
            raise InputError(
                f"dataset.batch_size.{role}={size} is too small for equal shares of "
                f"{len(domains)} domains"
            )
        rows = [torch.nonzero(samples.domain == domain).squeeze(1) for domain in domains]
        shares = [size // len(domains)] * len(domains)
        for i, _ in zip(cycle(range(len(domains))), range(size % len(domains)), strict=False):
            shares[i] += 1
        self.passes = [
            EpochSampler(own, share, seed=mix(seed, index))
            for index, (own, share) in enumerate(zip(rows, shares, strict=True))
        ]

    def batch(self, step: int, rank: int, world: int) -> Samples:
        """This rank's slice of the global batch."""
        if self.size % world:
            raise InputError(
                f"dataset.batch_size.{self.role}={self.size} cannot be shared by {world} processes"
            )
        taken = [passes.take(step) for passes in self.passes]
        rows = taken[0] if len(taken) == 1 else torch.cat(taken)
        if world > 1:
            own = self.size // world
            rows = rows[own * rank : own * (rank + 1)]
        x = as_input(self.samples.x[rows])  # before they move: rows of a file are looked up here
        rows = rows.to(x.device)
        # a row's number is where it stands, and a lone domain is every row's: nothing to look up
        alone = len(taken) == 1 and len(rows) <= len(self.samples.domain)
        return Samples(
            x=x,
            y=self.samples.y[rows],
            domain=self.samples.domain[slice(len(rows)) if alone else rows],
            row=rows,
        )


class EpochSampler:
    """Rows in an order that seed and pass decide; batch k is cut out of their sequence."""

    def __init__(self, rows: Tensor, size: int, *, seed: int) -> None:
        self.rows = rows
        self.size = size
        self.seed = seed
        self._orders: dict[int, Tensor] = {}

    def take(self, step: int) -> Tensor:
        """The rows of batch ``step``."""
        start, stop = step * self.size, (step + 1) * self.size
        pieces = []
        while start < stop:
            number, first = divmod(start, len(self.rows))
            piece = self._order(number)[first : first + stop - start]
            pieces.append(piece)
            start += len(piece)
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _order(self, number: int) -> Tensor:
        if number not in self._orders:
            generator = torch.Generator().manual_seed(mix(self.seed, number))
            order = self.rows[torch.randperm(len(self.rows), generator=generator)]
            self._orders = {k: v for k, v in self._orders.items() if k == number - 1}
            self._orders[number] = order
        return self._orders[number]


class EndlessLoader:
    """Endless; the step number lives in the module alone: a resumed run cannot lose step."""

    def __iter__(self) -> "EndlessLoader":
        return self

    def __next__(self) -> int:
        return 0

    def state_dict(self) -> dict[str, int]:
        """Nothing: it is there to tell the trainer that resuming is exact."""
        return {}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Nothing."""


def _padded(x: Array, shape: tuple[int, ...]) -> Array:
    """Rows with zeros behind where they are shorter."""
    return x if x.shape[1:] == shape else np.pad(x, [(0, 0), (0, shape[0] - x.shape[1])])


def _check_roles(roles: Sequence[str], assignment: RoleSplit, dataset: Dataset) -> None:
    how = {
        "source": "dataset.source is empty",
        "target": "no target row is left without a label: lower dataset.labels_per_class",
        "target_labelled": "no target row is labelled: set dataset.labels_per_class=3, or all",
    }
    for role in roles:
        if role in VIEWS:
            if dataset.strong is None:
                raise MissingRoleError(
                    role, "dataset.strong is null: it says how that role sees the rows"
                )
            continue
        if role not in assignment.train:
            raise MissingRoleError(role, how.get(role, "the data has none"))
        for part in assignment.train[role]:
            if not len(part.rows):
                raise InputError(f"{part.domain} has no row left for the role {role}")
    for role, parts in assignment.validation.items():
        if parts and not any(len(part.rows) for part in parts):
            raise InputError(
                f"dataset.val={dataset.val} leaves no {role} row to validate on; the usual is 0.1"
            )
