"""Roles and splits: which samples of which domain are trained, validated and tested on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from da_framework.core.errors import InputError
from da_framework.core.labels import UNLABELLED
from da_framework.core.seeding import mix

IntArray = NDArray[np.int64]
"""Whole numbers: labels, or positions of samples within their domain."""


class DomainRows(NamedTuple):
    """Samples of one domain in one role.

    Attributes:
        domain: its name.
        rows: positions of the samples within it.
        labelled: whether their labels may be seen.
    """

    domain: str
    rows: IntArray
    labelled: bool


@dataclass(frozen=True)
class RoleSplit:
    """The samples of every role.

    Attributes:
        train: role to what is trained on.
        validation: ``source`` (labelled) and ``target`` (hidden), for validators.
        test: the target samples that results are about.
    """

    train: Mapping[str, Sequence[DomainRows]]
    validation: Mapping[str, Sequence[DomainRows]]
    test: Sequence[DomainRows]


@dataclass(frozen=True)
class SplitRules:
    """What decides a split beside the data; the keys are those of ``base.Roles``.

    Attributes:
        classes: names of all classes of the data set; a label is a position among them.
        source_classes: those that are learnt.
        target_classes: those that the target has.
        training_samples: how many of this domain's are drawn; ``None``: all.
    """

    classes: tuple[str, ...]
    source_classes: tuple[str, ...]
    target_classes: tuple[str, ...]
    protocol: Literal["inductive", "transductive"]
    labels_per_class: int | Literal["all"]
    source_per_class: int | None
    training_samples: int | None
    val: float
    test: float
    split_seed: int
    label_shift: float | None

    @cached_property
    def label_of(self) -> Mapping[str, int]:
        """The label of each class."""
        return {name: label for label, name in enumerate(self.classes)}


def sample_places(parts: Iterable[DomainRows]) -> list[tuple[str, int]]:
    """The domain and position of every sample of these parts, in their order."""
    return [(part.domain, row) for part in parts for row in part.rows.tolist()]


class DomainSplitter:
    """Splits one domain; every choice is drawn by the split seed, the domain and its purpose alone.

    Args:
        name: of the domain.
        y: its labels.
        tested: marks the official test part; ``None`` where there is none.
        rules: what decides the split.
        group: samples with the same number are held out together; ``None``: each alone.
        answered: samples whose labels a person has given; they are given away like the few.
    """

    def __init__(
        self,
        name: str,
        y: IntArray,
        tested: NDArray[np.bool_] | None,
        rules: SplitRules,
        group: IntArray | None = None,
        answered: IntArray | None = None,
    ) -> None:
        self.group = group
        self.answered = np.arange(0) if answered is None else answered
        self.name = name
        self.y = y
        self.tested = tested
        self.rules = rules

    def split_source(self) -> tuple[IntArray, IntArray]:
        """Samples to train on and to validate on, with the same shares of the classes."""
        rows = self.draw_source()
        held_out = self.hold_out(rows, self.rules.val, stratify=True)
        return np.setdiff1d(rows, held_out), held_out

    def draw_source(self) -> IntArray:
        """The samples of a source that are used: ``source_per_class`` of each class, or all."""
        rows = self.select_classes(self.training_rows(), self.rules.source_classes)
        count = self.rules.source_per_class
        if count is None:
            return rows
        generator = self.make_generator("source")
        groups = self.split_by_class(rows, self.rules.source_classes)
        return np.sort(np.concatenate([generator.permutation(group)[:count] for group in groups]))

    def split_target(self) -> tuple[IntArray, IntArray, IntArray]:
        """Samples to train, validate and test on; not stratified: labels decide nothing.

        Where some samples have a label and some have none, those that have one are tested on.
        """
        rows = self.target_rows()
        if self.rules.protocol == "transductive":
            test = rows if self.tested is None else rows[self.tested[rows]]
            return rows, test, test
        if self.tested is not None:
            test = rows[self.tested[rows]]
        else:
            free, test = rows, rows[:0]
            if self.is_partly_labelled:
                free = np.setdiff1d(rows, self.with_groups(self.draw_labelled(rows)))
                test = np.intersect1d(free, self.with_groups(self.labelled_rows()))
            if not len(test):
                test = self.hold_out(free, self.rules.test, stratify=False, purpose="test")
        rows = np.setdiff1d(rows, test)
        val = self.hold_out(rows, self.rules.val, stratify=False)
        return np.setdiff1d(rows, val), val, test

    @property
    def is_partly_labelled(self) -> bool:
        """Whether some samples have a label and some have none."""
        return 0 < len(self.labelled_rows()) < len(self.y)

    def labelled_rows(self) -> IntArray:
        """All samples that have a label."""
        return np.flatnonzero(self.y != UNLABELLED)

    def with_groups(self, rows: IntArray) -> IntArray:
        """These samples, and all others of their groups."""
        if self.group is None:
            return rows
        return np.flatnonzero(np.isin(self.group, self.group[rows]))

    def choose_labelled(self) -> IntArray:
        """The target samples whose labels are given away: drawn by ``labels_per_class``, answered.

        Raises:
            InputError: a class has fewer.
        """
        return np.union1d(self.choose_few(), np.intersect1d(self.answered, self.target_rows()))

    def choose_few(self) -> IntArray:
        """Those that ``labels_per_class`` draws.

        Raises:
            InputError: a class has fewer.
        """
        if self.rules.protocol == "transductive":
            return self.draw_labelled(np.intersect1d(self.training_rows(), self.target_rows()))
        if self.tested is None and self.is_partly_labelled:
            return self.draw_labelled(self.target_rows())
        return self.draw_labelled(self.split_target()[0])

    def draw_labelled(self, rows: IntArray) -> IntArray:
        """Of these samples, as many labelled ones of each shared class as are given away.

        Raises:
            InputError: a class has fewer.
        """
        count = self.rules.labels_per_class
        learnt = self.rules.source_classes
        shared = in_order(self.rules.target_classes, learnt)
        rows = self.select_classes(rows, shared)
        if count == "all":
            return rows
        if count == 0 or not shared:
            return rows[:0]
        kind = "training" if (self.y != UNLABELLED).all() else "labelled training"
        generator = self.make_generator("labelled")
        chosen = []
        for class_name, of_class in zip(shared, self.split_by_class(rows, shared), strict=True):
            if len(of_class) < count:
                raise InputError(
                    f"dataset.labels_per_class={count}, but {self.name} has only "
                    f"{len(of_class)} {kind} samples of class {class_name}"
                )
            chosen.append(generator.choice(of_class, count, replace=False))
        return np.sort(np.concatenate(chosen))

    def training_rows(self) -> IntArray:
        """All samples but those of the official test part; or so many of them, drawn.

        Raises:
            InputError: there are fewer.
        """
        rows = np.arange(len(self.y)) if self.tested is None else np.flatnonzero(~self.tested)
        count = self.rules.training_samples
        if count is None:
            return rows
        if count > len(rows):
            raise InputError(
                f"dataset.training_samples.{self.name}={count}, but {self.name} has only "
                f"{len(rows)}"
            )
        return np.sort(self.make_generator("training").choice(rows, count, replace=False))

    def target_rows(self) -> IntArray:
        """The samples that a target has: of its classes, in shares that the label shift draws.

        Samples that have no label stay, unless shares are drawn, for which labels are needed.
        """
        classes = self.rules.target_classes
        used = self.training_rows()
        if self.tested is not None:
            used = np.union1d(used, np.flatnonzero(self.tested))
        rows = self.select_classes(used, classes)
        if self.rules.label_shift is None:
            return np.union1d(rows, used[self.y[used] == UNLABELLED])
        generator = self.make_generator("label shift")
        shares = generator.dirichlet([self.rules.label_shift] * len(classes))
        groups = self.split_by_class(rows, classes)
        if not len(rows):
            raise InputError(
                f"dataset.label_shift draws shares of the classes of {self.name}, of whose samples "
                "none has a label: dataset.label_shift=null"
            )
        # as many samples as the class that is short of them allows
        total = min(
            len(group) / share
            for group, share in zip(groups, shares, strict=True)
            if len(group) and share > 1e-9
        )
        picked = [
            generator.permutation(group)[: round(share * total)]
            for group, share in zip(groups, shares, strict=True)
        ]
        return np.sort(np.concatenate(picked))

    def select_classes(self, rows: IntArray, classes: tuple[str, ...]) -> IntArray:
        """Those samples whose class is one of these."""
        labels = [self.rules.label_of[name] for name in classes]
        return rows[np.isin(self.y[rows], labels)]

    def split_by_class(self, rows: IntArray, classes: Sequence[str]) -> list[IntArray]:
        """The samples of each of these classes, in their order."""
        labels = [self.rules.label_of[name] for name in classes]
        ordered = rows[np.argsort(self.y[rows], kind="stable")]  # once, however many classes
        begins = np.searchsorted(self.y[ordered], labels)
        ends = np.searchsorted(self.y[ordered], labels, side="right")
        return [ordered[begin:end] for begin, end in zip(begins, ends, strict=True)]

    def hold_out(
        self, rows: IntArray, share: float, *, stratify: bool, purpose: str = "val"
    ) -> IntArray:
        """A share of the samples; stratified, that share of every class."""
        generator = self.make_generator(purpose)
        groups = [rows]
        if stratify:
            groups = self.split_by_class(rows, self.rules.classes)
        if self.group is None:
            picked = [generator.permutation(group)[: round(share * len(group))] for group in groups]
            return np.sort(np.concatenate(picked))
        chosen: set[int] = set()
        for members in (np.unique(self.group[group]) for group in groups):
            chosen |= {*generator.permutation(members)[: round(share * len(members))].tolist()}
        return np.sort(rows[np.isin(self.group[rows], [*chosen])])

    def make_generator(self, purpose: str) -> np.random.Generator:
        """Random numbers that no other domain and no other purpose has."""
        return np.random.default_rng(mix(self.rules.split_seed, self.name, purpose))


def split_domains(
    sources: Iterable[DomainSplitter],
    targets: Iterable[DomainSplitter],
    *,
    left_out: DomainSplitter | None = None,
) -> RoleSplit:
    """Splits domains and gives their samples their roles.

    Args:
        sources: trained on.
        targets: worked on.
        left_out: a source that validators alone see, whole, in the place of held-out samples.

    Raises:
        InputError: nothing of a target is left to test on, or a class has too few samples.
    """
    train: dict[str, list[DomainRows]] = {"source": [], "target": [], "target_labelled": []}
    validation: dict[str, list[DomainRows]] = {"source": [], "target": []}
    tested: list[DomainRows] = []
    for domain in sources:
        rows, held_out = domain.split_source()
        train["source"].append(DomainRows(domain.name, rows, labelled=True))
        # without a share, the source is trained on whole and validated on nowhere
        if domain.rules.val and left_out is None:
            validation["source"].append(DomainRows(domain.name, held_out, labelled=True))
    if left_out is not None:
        rows = left_out.select_classes(left_out.training_rows(), left_out.rules.source_classes)
        validation["source"].append(DomainRows(left_out.name, rows, labelled=True))
    for domain in targets:
        few = domain.choose_labelled()
        rows, val, test = (np.setdiff1d(part, few) for part in domain.split_target())
        train["target"].append(DomainRows(domain.name, rows, labelled=False))
        train["target_labelled"].append(DomainRows(domain.name, few, labelled=True))
        validation["target"].append(DomainRows(domain.name, val, labelled=False))
        tested.append(DomainRows(domain.name, test, labelled=False))
        if not len(test):
            raise InputError(
                f"no sample of the target {domain.name} is left to test on: "
                + (
                    f"dataset.labels_per_class={domain.rules.labels_per_class} takes them all; "
                    "dataset.protocol=inductive keeps a test part"
                    if len(few)
                    else f"dataset.test={domain.rules.test} of {len(domain.y)} samples; raise it"
                )
            )
    return RoleSplit(
        {role: parts for role, parts in train.items() if any(len(part.rows) for part in parts)},
        validation,
        tested,
    )


def in_order(names: Iterable[str], chosen: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that are chosen, in the names' order."""
    among = frozenset(chosen)
    return tuple(name for name in names if name in among)
