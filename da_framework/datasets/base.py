"""A data set: named domains, and which of their samples play which role.

This file and the data sets themselves need numpy alone, so that a finished run is recognised
before torch is imported.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from da_framework.core.damage import explain_damage
from da_framework.core.errors import InputError, listed
from da_framework.core.files import file_sha256
from da_framework.core.labels import UNLABELLED
from da_framework.core.types import Count, External, ForAll, Fraction, Index, Positive
from da_framework.datasets.answers import WHAT, match_answers
from da_framework.datasets.splits import (
    DomainRows,
    DomainSplitter,
    IntArray,
    RoleSplit,
    SplitRules,
    in_order,
    split_domains,
)

Array = NDArray[Any]
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]
BatchSize = Annotated[dict[str, Count], ForAll("source", "target", "target_labelled")]

PARTS = ("train", "test")
"""The official parts of a data set."""
SAMPLES_AT_ONCE = 4096
"""Samples that are looked at together: those of a mapped file need not fit in memory."""


class Roles(TypedDict):
    """The keys every data set has; their defaults stand in ``conf/data.yaml``.

    Attributes:
        source: labelled domains.
        target: domains to work on; ``None`` is every other domain.
        protocol: ``inductive`` tests on target samples that training never saw; ``transductive``
            trains, without labels, on the very samples it is tested on as well.
        labels_per_class: labelled target samples of each class (the role ``target_labelled``), or
            ``all``; they leave the role ``target`` and every evaluation. Of a target that has no
            official test part and is labelled in part, all other labelled samples are the test.
        source_per_class: samples of each class that are drawn of every source, of a class that has
            fewer all; the others are not used. ``None``: all of every class.
        training_samples: names of domains, with how many of their samples are drawn, whatever their
            class; an official test part stays whole. ``None``, or not named: all.
        val: share of the training samples that is held out for validators; at 0 they see no source.
        test: share of a target that is tested on, where it has no official test part.
        split_seed: of all the choices above, apart from the seed of training.
        batch_size: samples of each role in a step, over all processes.
        sampler: how samples with labels are drawn: ``shuffled``: each once an epoch; ``balanced``:
            every class equally often, and its samples in turn.
        source_classes: the classes to learn; ``None`` is all.
        target_classes: the classes that the target has; ``None`` is all. Those that are not among
            the source's count as one more, the unknown (partial, open-set, universal settings).
        label_shift: samples of every target are left out until its classes have shares drawn from
            a Dirichlet distribution with this concentration: .1 is a large shift, 10 a small one;
            ``None``: all samples stay.
        labelled: a file of answers of ``da audit``: its samples are labelled target samples too,
            whatever part of the target they were in. They have then been trained on, and prove
            nothing of the run any more.
        pair: a source and a target, in the place of the two keys: for sweeps over pairs.
        left_out: a source that is not trained on: all its training samples are what validators see
            of the source, in the place of held-out samples of the others, and they do not see the
            target. The other sources train on the samples that they would train on without it.
        strong: how the samples of the role ``target_strong`` are augmented; ``None``: there is no
            such role.
        weak: how training augments the samples of all other roles; ``None``: not at all.
    """

    source: list[str] | None
    target: list[str] | None
    protocol: Literal["inductive", "transductive"]
    labels_per_class: Index | Literal["all"]
    source_per_class: Count | None
    training_samples: dict[str, Count] | None
    val: Fraction
    test: Fraction
    split_seed: Index
    batch_size: BatchSize
    sampler: Literal["shuffled", "balanced"]
    source_classes: list[str] | None
    target_classes: list[str] | None
    label_shift: Positive | None
    labelled: Annotated[str | None, External()]
    pair: Pair | None
    left_out: str | None
    strong: Any
    weak: Any


class Domain(NamedTuple):
    """All samples of one domain.

    Attributes:
        x: inputs; uint8 images, int32 token ids, or float32 of any meaning.
        y: labels from 0.
        test: marks the official test part; ``None`` where there is none.
        classes: names of its own, if it brings any; they must be the data set's.
        group: samples with the same number, as windows of one series, stay in one part of a split.
    """

    x: Array
    y: IntArray
    test: NDArray[np.bool_] | None = None
    classes: tuple[str, ...] | None = None
    group: IntArray | None = None


class SampleReport(NamedTuple):
    """What ``da data check`` finds out about one sample.

    Attributes:
        name: of its file, or its number.
        label: name of its class; ``None`` where it has none.
        test: whether it is of the official test part; ``None`` where there is none.
        digest: the same for the same content.
        shape: of the content; height and width of an image.
        broken: why it cannot be used, if so.
        notes: what had to be done to read it.
        thumbnail: a small image (height, width, 3), where one was asked for and it can be shown.
    """

    name: str
    label: str | None
    test: bool | None
    digest: str = ""
    shape: tuple[int, ...] = ()
    broken: str | None = None
    notes: tuple[str, ...] = ()
    thumbnail: Array | None = None


class Dataset(ABC):
    """Named domains with one set of classes.

    A data set says where its files are and how a domain is read; roles and splits are the same
    for all.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    """All domains of the data set."""
    tokens: str | None = None
    """The tokenizer whose token ids the inputs are, where they are texts."""
    may_lack_labels: bool = False
    """Whether samples may be without a label (``UNLABELLED``)."""
    storage_note: str = ""
    """Where the samples are held, for the log, if there is a choice."""

    def __init__(
        self,
        *,
        source: list[str] | None,
        target: list[str] | None,
        protocol: Literal["inductive", "transductive"],
        labels_per_class: Index | Literal["all"],
        val: Fraction,
        test: Fraction,
        split_seed: Index,
        batch_size: BatchSize,
        source_per_class: Count | None = None,
        training_samples: dict[str, Count] | None = None,
        sampler: Literal["shuffled", "balanced"] = "shuffled",
        source_classes: list[str] | None = None,
        target_classes: list[str] | None = None,
        label_shift: Positive | None = None,
        labelled: Annotated[str | None, External()] = None,
        pair: Pair | None = None,
        left_out: str | None = None,
        strong: Any = None,
        weak: Any = None,
    ) -> None:
        if pair is not None:
            source, target = [pair[0]], [pair[1]]
        source = source or []
        self.source = tuple(source)
        self.left_out = left_out
        self.target = (
            tuple(name for name in self.names if name not in source)
            if target is None
            else tuple(target)
        )
        self.protocol = protocol
        self.labels_per_class = labels_per_class
        self.source_per_class = source_per_class
        self.training_samples = dict(training_samples or {})
        self.val = val
        self.test = test
        self.split_seed = split_seed
        self.batch_size = dict(batch_size)
        self.sampler = sampler
        self.source_classes = source_classes
        self.target_classes = target_classes
        self.label_shift = label_shift
        self.labelled = labelled
        self.strong = strong
        self.weak = weak
        self.skipped: dict[str, list[str]] = {}
        """What could not be read and is left out, by domain."""
        self.former: Mapping[str, Any] = {}
        """What a run that this one goes on from knew of its samples: see ``inputs``."""
        self._domains: dict[str, Domain] = {}
        self._answered: dict[str, dict[int, int]] | None = None
        self._check_names()
        if left_out is not None:
            self.source = tuple(name for name in source if name != left_out)

    def continue_from(self, former: Mapping[str, Any]) -> None:
        """Reads samples as a former run read its own, where there is no source to learn it from.

        Args:
            former: what that run knew of a sample (``inputs``), and the ``classes`` it has learnt.
        """
        if not self.source and former != self.former:
            self.former = former
            self._domains.clear()

    @property
    def padded(self) -> bool:
        """Whether inputs are series of unequal length, with NaN behind the end of each."""
        return False

    @abstractmethod
    def load(self, name: str) -> Domain:
        """Reads one domain.

        Raises:
            InputError: the files are missing or damaged; says which and what to do.
        """

    def files(self, name: str) -> Sequence[Path]:
        """The files a domain is read from; none where it is generated."""
        return ()

    def sample_name(self, name: str, row: int) -> str:
        """What a person finds a sample of a domain by."""
        return self.place_name(name, self.place_of(name, row))

    def place_of(self, name: str, row: int) -> int:
        """Where a sample stands among the inspections of its domain, broken ones counted."""
        return row

    def place_name(self, name: str, place: int) -> str:
        """What a person finds by what is inspected, or labelled, at a place of a domain."""
        return f"row {place} of {name}"

    def describe_sample(self, name: str, row: int) -> Mapping[str, str]:
        """What else a person sees of a sample of a domain, by its names; never its label."""
        return {}

    def hash_sample(self, name: str, row: int) -> str:
        """A hash of what a sample of a domain holds, whatever it is called; not of its label."""
        return hash_values(self.describe_sample(name, row) or self[name].x[row])

    def licence(self, name: str) -> str:
        """What may be done with a domain's samples, as far as is known."""
        return "not known"

    def ignored(self, name: str) -> Sequence[Path]:
        """Files that lie among those of a domain and are not read."""
        return ()

    def inspections(self, name: str) -> Sequence[Callable[[bool], SampleReport]]:
        """A call for each sample of a domain that reads it; given true, with a thumbnail."""
        domain = self.load(name)
        return [partial(self._inspect, domain, row) for row in range(len(domain.y))]

    def _inspect(self, domain: Domain, row: int, thumbnail: bool) -> SampleReport:
        x, label = np.ascontiguousarray(domain.x[row]), int(domain.y[row])
        known = 0 <= label < len(self.classes)
        unlabelled = self.may_lack_labels and label == UNLABELLED
        test = None if domain.test is None else bool(domain.test[row])
        wrong = f"its label is {label}; labels are 0 to {len(self.classes) - 1}"
        broken = None if known or unlabelled else wrong
        if not self.mark_finite(x[None]).all():
            broken = "it has values that are NaN or infinite"
        return SampleReport(
            f"row {row}",
            self.classes[label] if known else None if unlabelled else str(label),
            test,
            hashlib.sha256(x.data).hexdigest(),
            x.shape,
            broken,
            thumbnail=as_image(x) if thumbnail and not broken else None,
        )

    def mark_finite(self, x: Array) -> NDArray[np.bool_]:
        """Marks samples that are numbers throughout."""
        return mark_finite(x)

    @property
    def known(self) -> tuple[str, ...]:
        """The classes that are learnt: the source's."""
        return self._chosen_classes("source_classes")

    @property
    def unknown(self) -> tuple[str, ...]:
        """The target's classes that are not among them: they share one more label."""
        known = frozenset(self.known)
        return tuple(name for name in self._chosen_classes("target_classes") if name not in known)

    def task_labels(self, y: IntArray) -> IntArray:
        """Labels of the data set as labels of the task; the unknown have the one after the last."""
        known = frozenset(self.known)
        table = np.full(len(self.classes), len(known))
        table[[name in known for name in self.classes]] = np.arange(len(known))
        labels: IntArray = np.where(y == UNLABELLED, UNLABELLED, table[y])
        return labels

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains in use, sources first: the position is ``Samples.domain``."""
        left_out = () if self.left_out is None else (self.left_out,)
        return (*self.source, *left_out, *self.target)

    def fingerprint(self, name: str) -> str:
        """A hash of the bytes a domain comes from."""
        digest = hashlib.sha256()
        for file in self.files(name):
            digest.update(bytes.fromhex(file_sha256(file)))
        return digest.hexdigest()[:16] if self.files(name) else "generated"

    def fingerprints(self) -> dict[str, str]:
        """A hash of what each domain comes from, and of the answers that label some of it."""
        hashes = {name: self.fingerprint(name) for name in self.domains}
        if self.labelled is None:
            return hashes
        file = Path(self.labelled)
        with explain_damage(file, WHAT):
            return {**hashes, "dataset.labelled": file_sha256(file)[:16]}

    def inputs(self, name: str) -> dict[str, Any]:
        """What one sample of a domain is, for those who bring other samples later."""
        x = self[name].x
        return {"shape": list(x.shape[1:]), "dtype": str(x.dtype), "tokens": self.tokens}

    def __getitem__(self, name: str) -> Domain:
        """A domain, read once and checked."""
        if name not in self._domains:
            self._domains[name] = self._checked(name, self.load(name))
        return self._domains[name]

    @property
    def nbytes(self) -> int:
        """Bytes of the samples that were read and are in memory."""
        read = (domain.x for domain in self._domains.values())
        return sum(0 if isinstance(x, np.memmap) else x.nbytes for x in read)

    def replace(self, name: str, domain: Domain) -> None:
        """Puts another domain in a domain's place, as if it had been read."""
        self._domains[name] = domain

    def split_roles(self) -> RoleSplit:
        """Splits every domain in use and gives its samples their roles.

        Raises:
            InputError: nothing of a target is left to test on, or a class has too few samples.
        """
        if not self.classes:
            raise InputError(
                "no class is known: there is no source, and no sample of a target has a label; "
                "init_from=runs/..., the folder of a finished run, says what it has learnt"
            )
        # lazily: of domains that cannot be used, the first is named
        return split_domains(
            map(self.domain_splitter, self.source),
            map(self.domain_splitter, self.target),
            left_out=None if self.left_out is None else self.domain_splitter(self.left_out),
        )

    def domain_splitter(self, name: str) -> DomainSplitter:
        """What splits a domain, which is read for it."""
        rules = SplitRules(
            classes=self.classes,
            source_classes=self.known,
            target_classes=self._chosen_classes("target_classes"),
            protocol=self.protocol,
            labels_per_class=self.labels_per_class,
            source_per_class=self.source_per_class,
            training_samples=self.training_samples.get(name),
            val=self.val,
            test=self.test,
            split_seed=self.split_seed,
            label_shift=self.label_shift,
        )
        domain = self[name]
        answered = [row for row, label in self.answered(name).items() if self.is_learnt(label)]
        return DomainSplitter(
            name, domain.y, domain.test, rules, domain.group, np.array(answered, dtype=np.int64)
        )

    def is_learnt(self, label: int) -> bool:
        """Whether a label is one of those that are learnt."""
        return self.classes[label] in self.known

    def answered(self, name: str) -> Mapping[int, int]:
        """The labels that the file ``labelled`` gives samples of a domain, by their positions.

        Raises:
            InputError: it is no such file, or of other samples.
        """
        if self.labelled is None:
            return {}
        if self._answered is None:
            names = {
                domain: [self.sample_name(domain, row) for row in range(len(self[domain].y))]
                for domain in self.target
            }
            self._answered = match_answers(Path(self.labelled), names, self.classes)
        return self._answered.get(name, {})

    def answered_names(self) -> list[str]:
        """Samples whose labels the file ``labelled`` gives."""
        return [self.sample_name(*place) for place in self._answered_places()]

    def answered_hashes(self) -> list[str]:
        """The same samples by what they hold."""
        return sorted({self.hash_sample(*place) for place in self._answered_places()})

    def _answered_places(self) -> Iterator[tuple[str, int]]:
        return ((name, row) for name in self.target for row in self.answered(name))

    def visible_labels(self, part: DomainRows) -> IntArray:
        """The labels of a part that may be seen, those that were answered among them."""
        y: IntArray = self[part.domain].y[part.rows]
        if not part.labelled:
            return hide_labels(y)
        given = self.answered(part.domain)
        answered = [given.get(row, label) for row, label in zip(part.rows.tolist(), y, strict=True)]
        return self.task_labels(np.array(answered, dtype=np.int64) if given else y)

    def _chosen_classes(self, key: str) -> tuple[str, ...]:
        given = getattr(self, key)
        return self.classes if given is None else in_order(self.classes, given)

    def _check_names(self) -> None:
        for key in ("source", "target"):
            for name in getattr(self, key):
                if name not in self.names:
                    raise InputError(
                        f"dataset.{key} has {name!r}, which is no domain here; "
                        f"the domains are {listed(self.names)}"
                    )
            given = getattr(self, key)
            if len(set(given)) < len(given):
                raise InputError(f"dataset.{key} names a domain twice: {listed(given)}")
        for name in self.training_samples:
            if name not in self.names:
                raise InputError(
                    f"dataset.training_samples has {name!r}, which is no domain here; "
                    f"the domains are {listed(self.names)}"
                )
        for key in ("source_classes", "target_classes"):
            given, there = getattr(self, key), frozenset(self.classes)
            for name in given or ():
                if name not in there:
                    raise InputError(
                        f"dataset.{key} has {name!r}, which is no class here; "
                        f"the classes are {listed(self.classes)}"
                    )
            if given is not None and len(set(given)) < max(len(given), 1):
                raise InputError(f"dataset.{key} is empty or names a class twice: {given}")
        if both := sorted(set(self.source) & set(self.target)):
            raise InputError(
                f"{listed(both)} is source and target at once; the domains are {listed(self.names)}"
            )
        if self.left_out is not None and not set(self.source) > {self.left_out}:
            raise InputError(
                f"dataset.left_out={self.left_out}: it is one of several sources, and "
                f"dataset.source has {listed(self.source)}"
            )
        if not self.target:
            raise InputError(f"dataset.target is empty; the domains are {listed(self.names)}")

    def _checked(self, name: str, domain: Domain) -> Domain:
        where = listed(self.files(name)) if self.files(name) else name
        if not len(domain.y):
            raise InputError(f"the domain {name} is empty ({where})")
        if len(domain.x) != len(domain.y):
            raise InputError(f"{where}: {len(domain.x)} inputs but {len(domain.y)} labels")
        if not np.issubdtype(domain.y.dtype, np.integer):
            raise InputError(f"{where}: labels of {name} are {domain.y.dtype}, not whole numbers")
        if domain.x.dtype not in (np.uint8, np.int32, np.float32):
            raise InputError(
                f"{where}: inputs of {name} are {domain.x.dtype}; uint8, int32 and float32 are read"
            )
        domain = domain._replace(y=domain.y.astype(np.int64))
        if np.issubdtype(domain.x.dtype, np.floating):
            blocks = (
                domain.x[i : i + SAMPLES_AT_ONCE] for i in range(0, len(domain.x), SAMPLES_AT_ONCE)
            )
            finite = np.concatenate([self.mark_finite(x) for x in blocks])
            if not finite.all():
                bad = np.flatnonzero(~finite)
                raise InputError(
                    f"{where}: row {bad[0]} of {name} is NaN or infinite ({len(bad)} such rows)"
                )
        if domain.classes is not None and domain.classes != self.classes:
            raise InputError(
                f"{where}: the classes of {name} are {listed(domain.classes)}, "
                f"but the data set's are {listed(self.classes)}"
            )
        outside = (domain.y < 0) | (domain.y >= len(self.classes))
        if self.may_lack_labels:
            outside &= domain.y != UNLABELLED
        wrong = np.flatnonzero(outside)
        if len(wrong):
            raise InputError(
                f"{where}: row {wrong[0]} of {name} has the label {domain.y[wrong[0]]}; "
                f"labels are 0 to {len(self.classes) - 1} ({listed(self.classes)})"
            )
        for other, held in self._domains.items():
            if domain.x.dtype != held.x.dtype:
                raise InputError(
                    f"inputs of {name} are {domain.x.dtype}, those of {other} {held.x.dtype}: "
                    "bytes are read as images, from 0 to 255: bring all to one type"
                )
            flat = domain.x.ndim == held.x.ndim == 2
            if domain.x.shape[1:] != held.x.shape[1:] and not flat:
                raise InputError(
                    f"inputs of {name} have the shape {domain.x.shape[1:]}, those of {other} "
                    f"{held.x.shape[1:]}: bring images to one size and as many channels; flat "
                    "samples alone may differ in length"
                )
        return domain


def mark_finite(x: Array) -> NDArray[np.bool_]:
    """Marks samples that are numbers throughout."""
    finite: NDArray[np.bool_] = np.all(np.isfinite(x.reshape(len(x), -1)), axis=1)
    return finite


def as_image(x: Array) -> Array | None:
    """An image (height, width, 3) to look at, of a series its lines; none of what is neither."""
    if x.ndim == 2 and x.dtype.kind == "f":
        from da_framework.core.pictures import draw_series

        return draw_series(x)
    if x.ndim != 3 or x.shape[0] not in (1, 3):
        return None
    if x.dtype != np.uint8:
        low, high = x.min(), x.max()
        x = (255 * (x - low) / max(high - low, 1e-12)).astype(np.uint8)
    return np.broadcast_to(x.transpose(1, 2, 0), (*x.shape[1:], 3))


def hash_values(sample: Array | bytes | Mapping[str, str]) -> str:
    """A hash of what a sample holds: an array, a file's bytes, or the cells of a row by name."""
    if isinstance(sample, Mapping):
        sample = json.dumps(sorted(sample.items())).encode(errors="surrogateescape")
    elif not isinstance(sample, bytes):
        sample = np.ascontiguousarray(sample).tobytes()
    return hashlib.sha256(sample).hexdigest()[:16]


def hide_labels(y: IntArray) -> IntArray:
    """Hides labels: as many as these, all of them ``UNLABELLED``."""
    return np.full_like(y, UNLABELLED)
