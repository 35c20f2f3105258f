"""The pool of an audit: what several finished runs make of the same samples."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from da_framework.audit.pool import UNKNOWN, Pool, Sides
from da_framework.core.batch import UNLABELLED, Outputs
from da_framework.core.errors import InputError, listed
from da_framework.core.files import file_sha256
from da_framework.core.pictures import open_picture
from da_framework.core.text import printable
from da_framework.datasets.answers import CANNOT_TELL
from da_framework.datasets.base import Dataset, as_image
from da_framework.datasets.inference import NewImages, open_new_samples
from da_framework.datasets.splits import DomainRows, sample_places
from da_framework.results.folder import RunFolder
from da_framework.training.build import Run
from da_framework.training.feature_cache import SharedFeatures
from da_framework.training.prediction import as_target_samples
from da_framework.training.restore import find_run, load_weights, rebuild, restore_model

SIDE = 256
"""The longer side of a sample's picture, in pixels."""
MOST_TESTED = 1000
"""Samples of a side that a shift is looked for in."""


class Answers(NamedTuple):
    """What a run makes of the samples.

    Attributes:
        classes: names of its logits.
        predicted: of each sample.
        samples: their names.
        content: a hash of them.
        hashes: of what each holds, whatever it is called.
        labels: names of their true classes, where they are known.
        picture: a small image of a sample.
        description: what else a person sees of a sample.
        sides: held-out source and these samples, for a test of a shift.
    """

    classes: tuple[str, ...]
    predicted: NDArray[np.int64]
    samples: tuple[str, ...]
    content: str
    hashes: Callable[[], Sequence[str]]
    labels: tuple[str | None, ...]
    picture: Callable[[int], Any]
    description: Callable[[int], Mapping[str, str]]
    sides: Callable[[], Sides]


def gather_pool(
    runs: Sequence[str],
    *,
    pick: str,
    dataset: Mapping[str, Any],
    data_dir: str | None,
    trust: Sequence[Any],
    shared: SharedFeatures | None = None,
) -> Pool:
    """The answers of finished runs on new samples, or on the test samples of their own target.

    Args:
        runs: their folders.
        pick: which of their weights.
        dataset: keys of the data set; with a ``root``, new samples as ``da predict`` takes them.
        data_dir: where the runs' data is.
        trust: what their records may name.
        shared: features that are known already, and are added to.

    Raises:
        InputError: a run is not there, or the runs are not about the same samples.
    """
    if len(runs) < 2:
        raise InputError("run=[...]: an audit compares two runs or more")
    if twice := sorted({run for run in runs if list(runs).count(run) > 1}):
        raise InputError(f"run=[...]: {listed(twice)} is there twice")
    given = {key: value for key, value in dataset.items() if value is not None}
    answer = answer_new if "root" in given else answer_own
    shared = shared or SharedFeatures()
    every = [
        answer(run, pick=pick, dataset=given, data_dir=data_dir, trust=trust, shared=shared)
        for run in runs
    ]
    first = every[0]
    for run in runs:
        refuse_audited(run, every)
    for run, answers in zip(runs[1:], every[1:], strict=True):
        if answers.samples != first.samples or answers.content != first.content:
            raise InputError(
                f"run={run}: its test samples are not those of {runs[0]}: runs on the same split, "
                "or dataset.root=FOLDER with new samples for all"
            )
    classes = tuple(dict.fromkeys(name for answers in every for name in answers.classes))
    if unsayable := [name for name in classes if name.strip().casefold() in ("", CANNOT_TELL)]:
        raise InputError(
            f"a class is named {unsayable[0]!r}, which cannot be told from an answer that is none: "
            "train on data where it has another name"
        )
    number = {name: position for position, name in enumerate(classes)}
    return Pool(
        tuple(runs),
        first.samples,
        classes,
        np.stack(
            [
                np.array([number[name] for name in answers.classes])[answers.predicted]
                for answers in every
            ]
        ),
        np.array([number.get(name, UNKNOWN) if name else UNKNOWN for name in first.labels]),
        first.content,
        first.picture,
        first.description,
        first.sides,
    )


def refuse_audited(run: str, every: Sequence[Answers]) -> None:
    """Refuses a run that has learnt from labels of these very samples, as an audit gave them.

    Args:
        run: its folder.
        every: answers of all runs: samples that one has learnt from are not among its own.

    Raises:
        InputError: it has.
    """
    record: Any = RunFolder(Path(run)).read_record()
    if learnt := set(record.get("audited_content", ())):
        count = len(learnt.intersection(chain.from_iterable(own.hashes() for own in every)))
    else:  # of a record that has their names alone
        count = count_names(record.get("audited", ()), every[0].samples)
    if count:
        raise InputError(
            f"run={run}: it has learnt from labels of {count} of these samples "
            "(dataset.labelled), so its verdict is void: other samples in dataset.root, or a run "
            "without them"
        )


def count_names(learnt: Sequence[str], samples: Sequence[str]) -> int:
    """How many of the samples are called as those that were learnt from, or as ends of them.

    An audit of a folder names files from there on, the data set from its root on.
    """
    names = {printable(name) for name in learnt}
    tails = {name.split("/", n)[-1] for name in names for n in range(name.count("/") + 1)}
    return len({printable(name) for name in samples} & (names | tails))


def answer_new(
    run: str,
    *,
    pick: str,
    dataset: Mapping[str, Any],
    data_dir: str | None,
    trust: Sequence[Any],
    shared: SharedFeatures,
) -> Answers:
    """What a run makes of new samples, as samples of its last target."""
    model = restore_model(run, pick=pick, trust=trust)
    reader = open_new_samples(model.run.config["dataset"], dataset, model.inputs)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.method.to(device)
    samples: list[tuple[str, ...]] = []
    predicted, inputs = [], []
    for names, x in reader.blocks():
        rows = as_target_samples(torch.as_tensor(x, device=device), model)
        predicted.append(shared.evaluate(model.method, rows).logits.argmax(1).cpu().numpy())
        samples += names
        inputs.append(x)
    if reader.broken:
        raise InputError(
            f"{len(reader.broken)} samples cannot be read, the first is {reader.broken[0]}"
        )
    if not samples:
        raise InputError(f"dataset.root={dataset['root']}: no sample can be read")
    x = np.concatenate(inputs)
    files = [reader.root / name if reader.root.is_dir() else reader.root for name, *_ in samples]

    def picture(row: int) -> Any:
        return read_picture(files[row]) if isinstance(reader, NewImages) else as_image(x[row])

    def sides() -> Sides:
        drawn = torch.as_tensor(x[draw_positions(len(x)).numpy()], device=device)
        target = model.method.evaluate_samples(as_target_samples(drawn, model))
        finished = find_run(run, pick=pick, data_dir=data_dir, trust=trust)
        built = rebuild(finished)
        load_weights(built.module, finished.weights)
        return both_sides(built, target)

    # of the files, since inputs differ from run to run as size and scale do
    content = hashlib.sha256("".join(map(file_sha256, reader.files)).encode())
    return Answers(
        model.classes,
        np.concatenate(predicted),
        tuple(map(":".join, samples)),
        content.hexdigest(),
        lambda: [reader.hash_sample(*sample) for sample in zip(samples, x, strict=True)],
        (None,) * len(samples),
        picture,
        lambda row: reader.describe(samples[row]),
        sides,
    )


def read_picture(file: Path) -> Any:
    """An image file as an array, no larger than it is looked at."""
    with open_picture(file.read_bytes()) as image:
        plain = image.convert("RGB")
        plain.thumbnail((SIDE, SIDE))
        return np.asarray(plain)


def answer_own(
    run: str,
    *,
    pick: str,
    dataset: Mapping[str, Any],
    data_dir: str | None,
    trust: Sequence[Any],
    shared: SharedFeatures,
) -> Answers:
    """What a run makes of the test samples of its own target."""
    finished = find_run(run, pick=pick, data_dir=data_dir, dataset=dataset, trust=trust)
    built = rebuild(finished, dataset)
    load_weights(built.module, finished.weights)
    domains, method = built.domains, built.module.method
    outputs = shared.evaluate(method, domains.test)
    data, parts = domains.dataset, domains.dataset.split_roles().test
    places = sample_places(parts)
    unknown = ["unknown"] if method.setting == "open" or data.unknown else []
    names = (*data.known, *unknown)
    oracle = domains.oracle.tolist()
    return Answers(
        names,
        outputs.logits.argmax(1).cpu().numpy(),
        tuple(data.sample_name(*place) for place in places),
        describe_content(data, parts),
        lambda: [data.hash_sample(*place) for place in places],
        tuple(None if label == UNLABELLED else names[label] for label in oracle),
        own_picture(data, places),
        lambda row: data.describe_sample(*places[row]),
        lambda: both_sides(
            built, Outputs(*(field[draw_positions(len(oracle))] for field in outputs))
        ),
    )


def draw_positions(count: int) -> Tensor:
    """Positions of samples that a shift is looked for in: all, or ``MOST_TESTED`` drawn by lot."""
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(count, generator=generator)[:MOST_TESTED].sort().values


def both_sides(built: Run, target: Outputs) -> Sides:
    """Held-out source by a run's model, beside its outputs of the target.

    Raises:
        InputError: the run held no source out.
    """
    domains, method = built.domains, built.module.method
    held_out = domains.validation.get("source")
    if held_out is None:
        raise InputError("the run has no held-out source (dataset.val=0, or no source at all)")
    source = method.evaluate_samples(held_out.at(draw_positions(len(held_out.y))))
    data = built.dataset
    return Sides(
        source,
        Outputs(*(field.to(source.logits.device) for field in target)),
        (data.source, data.target),
        (*data.known, "unknown")[: source.logits.shape[1]],
        not method.baseline,
    )


def describe_content(data: Dataset, parts: Sequence[DomainRows]) -> str:
    """A hash of the samples of these parts."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(f"{part.domain}\0{data.fingerprint(part.domain)}\0".encode())
        hashed.update(part.rows.tobytes())
        if not data.files(part.domain):  # generated, by keys that may differ
            hashed.update(np.ascontiguousarray(data[part.domain].x).tobytes())
    return hashed.hexdigest()


def own_picture(data: Dataset, places: Sequence[tuple[str, int]]) -> Callable[[int], Any]:
    """What shows the sample at a position among these, each a domain and its row."""
    inspections = cache(data.inspections)

    def picture(row: int) -> Any:
        domain, position = places[row]
        return inspections(domain)[data.place_of(domain, position)](True).thumbnail

    return picture
