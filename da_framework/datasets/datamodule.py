"""The data as training sees it: endless streams of each role, and samples to evaluate on."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from da_framework.core.batch import UNLABELLED, Batch, Samples, Task
from da_framework.core.errors import InputError, MissingRoleError, listed
from da_framework.core.labels import LABELLED_ROLES
from da_framework.core.seeding import mix
from da_framework.datasets.augmentations import BatchRandom
from da_framework.datasets.base import SAMPLES_AT_ONCE, Array, Dataset
from da_framework.datasets.memmap import MappedSamples
from da_framework.datasets.splits import DomainRows, RoleSplit
from da_framework.datasets.streams import EndlessLoader, EpochLoader, Stream

VIEWS = {"target_strong": "target"}
"""Roles that are another role's samples, augmented otherwise."""


class Domains(pl.LightningDataModule):
    """Roles of a data set as tensors: batches of every step, and samples to evaluate on.

    Lightning's loader (``EndlessLoader``) yields zeros alone: a training step fetches its batch
    itself, by ``batch(step)``, a pure function of seed, step and rank.

    Target labels stop here: but for the few given away as ``target_labelled`` they are replaced
    by ``UNLABELLED`` before anything else sees them. The true ones stand in ``oracle`` alone.

    Args:
        dataset: domains, and which of their samples play which role.
        roles: what a batch must hold (``Method.roles``).
        seed: of the order of samples.
        optional: what it holds as well where the data has it (``Method.optional``).

    Attributes:
        task: classes, domains and numbers of samples.
        train: role to all its training samples.
        validation: ``source`` and ``target`` samples for validators.
        test: the target samples that results are about, labels hidden.
        oracle: their true labels; ``UNLABELLED`` where none is known.
    """

    def __init__(
        self, dataset: Dataset, roles: Sequence[str], *, seed: int, optional: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.seed = seed
        self._pools: dict[tuple[str, bool], Samples] = {}
        split = dataset.split_roles()
        shapes = [dataset[name].x.shape[1:] for name in dataset.domains]
        self._shape = max(shapes)  # flat where they differ
        _check_roles(roles, split, dataset)
        wanted = [VIEWS.get(role, role) for role in roles]
        used = dict.fromkeys((*wanted, *(r for r in optional if r in split.train)))
        self.views = [role for role in roles if role in VIEWS]
        self.train = {role: self._samples(split.train[role]) for role in used}
        self.validation = {
            role: self._samples(parts) for role, parts in split.validation.items() if parts
        }
        self.test = self._samples(split.test)
        self.oracle = torch.cat(
            [
                torch.as_tensor(dataset.task_labels(dataset[part.domain].y[part.rows]))
                for part in split.test
            ]
        )
        rows = {role: len(samples.x) for role, samples in self.train.items()}
        self.task = Task(
            classes=dataset.known,
            domains=dataset.domains,
            rows=rows | {view: rows[VIEWS[view]] for view in self.views},
            sources=len(dataset.source),
            shape=self._shape,
            class_counts=count_classes(self.train, len(dataset.known)),
            widths=tuple(width for (width,) in shapes) if len(set(shapes)) > 1 else (),
        )
        self.streams = self._streams(self.train)

    def __getstate__(self) -> dict[str, Any]:
        """Without the Trainer, as Lightning keeps a module: it holds what cannot be copied."""
        return {**vars(self), "trainer": None}

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Batch of a step: a pure function of seed, step and rank; ranks share the global batch."""
        batch = {role: stream.batch(step, rank, world) for role, stream in self.streams.items()}
        # the strong ones first: they are made of the plain samples
        seen = {view: (VIEWS[view], self.dataset.strong) for view in self.views}
        if self.dataset.weak is not None:
            seen |= {role: (role, self.dataset.weak) for role in self.streams}
        for role, (of, view) in seen.items():
            size, plain = self.streams[of].size, batch[of]
            local = slice(rank * len(plain.x), (rank + 1) * len(plain.x))
            random = BatchRandom(size, local, seed=mix(self.seed, role, step), like=plain.x)
            batch[role] = plain._replace(x=view(plain.x, random))
        return batch

    def reversed(self, label: Callable[[Samples], Tensor]) -> "Domains":
        """The same data with the sides exchanged, for training from the target back to the source.

        The target, labelled by ``label``, becomes the source; the source, its labels hidden, the
        target. The held-out source, its labels known, is what is tested on.

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
        split = self.dataset.split_roles()
        if not split.validation["source"]:
            raise InputError(
                "validator=reverse_validation tests on held-out source: dataset.val=0.1"
            )
        device = self.test.x.device
        source, target, held_out = (
            Samples(*(field.to(device) for field in self._samples(parts)))
            for parts in (
                split.train["source"],
                split.train["target"],
                split.validation["source"],
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
        turned.task = replace(
            self.task,
            domains=self.task.domains[::-1],
            rows={role: len(samples.x) for role, samples in train.items()},
            class_counts=count_classes(train, len(self.task.classes)),
        )
        turned.test = held_out._replace(domain=1 - held_out.domain)
        turned.streams = self._streams(
            {role: train[role] for role in train if role in self.streams}
        )
        return turned

    def to(self, device: torch.device) -> None:
        """Moves all samples to a device."""
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

    def train_dataloader(self) -> EndlessLoader:
        """Zeros, without end or an epoch of them: a step asks ``batch`` for samples."""
        steps = getattr(getattr(self.trainer, "lightning_module", None), "epoch_steps", None)
        return EpochLoader(steps) if steps else EndlessLoader()

    def val_dataloader(self) -> EpochLoader:
        """A zero: an evaluation asks ``validation`` and ``test`` for samples."""
        return EpochLoader(1)

    def test_dataloader(self) -> EpochLoader:
        """A zero: a test asks ``test`` for samples."""
        return EpochLoader(1)

    def predict_dataloader(self) -> DataLoader[Samples]:
        """The samples that results are about, some at a time."""
        size = SAMPLES_AT_ONCE
        blocks = [self.test.at(slice(i, i + size)) for i in range(0, len(self.test.y), size)]
        return DataLoader(blocks, batch_size=None)  # type: ignore[arg-type]

    def _streams(self, train: Mapping[str, Samples]) -> dict[str, Stream]:
        sizes, sampler = self.dataset.batch_size, self.dataset.sampler
        return {
            role: Stream(
                *(samples, sizes.get(role, 0)),
                seed=mix(self.seed, role),
                role=role,
                balanced=sampler == "balanced" and role in LABELLED_ROLES,
            )
            for role, samples in train.items()
        }

    def _samples(self, parts: Sequence[DomainRows]) -> Samples:
        """Samples of several parts; the same ones are held once."""
        key = (
            "|".join(f"{part.domain}:{mix(*part.rows.tolist())}" for part in parts),
            parts[0].labelled,
        )
        if key not in self._pools:
            dataset = self.dataset
            x: Any  # indexed alike
            if any(isinstance(dataset[p.domain].x, np.memmap) for p in parts):
                x = MappedSamples([(dataset[p.domain].x, p.rows) for p in parts])
            else:
                xs = [_padded(dataset[p.domain].x[p.rows], self._shape) for p in parts]
                x = torch.as_tensor(np.concatenate(xs))
            domains = [np.full(len(p.rows), dataset.domains.index(p.domain)) for p in parts]
            y = np.concatenate([dataset.visible_labels(p) for p in parts])
            self._pools[key] = Samples(
                x=x,
                y=torch.as_tensor(y),
                domain=torch.as_tensor(np.concatenate(domains)),
                row=torch.arange(len(y)),
            )
        return self._pools[key]


def count_classes(train: Mapping[str, Samples], classes: int) -> dict[str, tuple[int, ...]]:
    """Samples of each class, of the roles whose labels are there."""
    return {
        role: tuple(torch.bincount(train[role].y, minlength=classes).tolist())
        for role in LABELLED_ROLES
        if role in train
    }


def _padded(x: Array, shape: tuple[int, ...]) -> Array:
    """Samples with zeros appended where they are shorter."""
    return x if x.shape[1:] == shape else np.pad(x, [(0, 0), (0, shape[0] - x.shape[1])])


def _check_roles(roles: Sequence[str], split: RoleSplit, dataset: Dataset) -> None:
    how = {
        "source": "dataset.source is empty",
        "target": "no target sample is left without a label: lower dataset.labels_per_class",
        "target_labelled": "no target sample is labelled: set dataset.labels_per_class=3, or all",
    }
    for role in roles:
        if role in VIEWS:
            if dataset.strong is None:
                raise MissingRoleError(
                    role, "dataset.strong is null: it says how that role augments the samples"
                )
            continue
        if role not in split.train:
            raise MissingRoleError(role, how.get(role, "the data has none"))
        for part in split.train[role]:
            if not len(part.rows):
                raise InputError(f"{part.domain} has no sample left for the role {role}")
    for role, parts in split.validation.items():
        if parts and not any(len(part.rows) for part in parts):
            raise InputError(
                f"dataset.val={dataset.val} leaves no {role} sample to validate on: "
                + why_none_is_held_out(role, split, dataset)
            )


def why_none_is_held_out(role: str, split: RoleSplit, dataset: Dataset) -> str:
    """The reason why a share of the samples is none of them, and a share that is some."""
    if role == "source":  # a share of every class is held out
        largest = max(
            int(np.bincount(dataset[part.domain].y[part.rows]).max())
            for part in split.train["source"]
        )
        what = f"no class of the source has more than {largest} samples"
        none = "dataset.val=0"
    else:
        largest = sum(len(part.rows) for part in split.train["target"])
        what = f"the target has {largest} samples to train on"
        none = "dataset.protocol=transductive"
    return (
        f"{what}; dataset.val={max(1 / largest, 0.1):.2g} holds one out, {none} needs none"
        if (largest > 1)
        else f"{what}; {none} needs none"
    )
