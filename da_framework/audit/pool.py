"""The samples that an audit is about, and what each model makes of them."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from da_framework.core.batch import Outputs
from da_framework.core.errors import InputError
from da_framework.core.seeding import mix

IntArray = NDArray[np.int64]
"""Positions of samples, or of classes."""
UNKNOWN = -1
"""In the place of a label that is not known."""
HIDDEN = "..."
"""In the place of a folder's name that nobody may see who labels."""


HASHED = re.compile(r"-[0-9a-f]{8}$")
"""The end of a run's name that is made of its overrides."""


def first_words(names: Sequence[str]) -> list[str]:
    """Names that are made of overrides, as far as it takes to tell them apart; others whole.

    Args:
        names: that differ.
    """
    if not all(HASHED.search(name) for name in names):
        return list(names)
    words = [name.split("-") for name in names]
    for count in range(1, min(map(len, words))):
        shortened = ["-".join(each[:count]) for each in words]
        if len(set(shortened)) == len(names):
            return shortened
    return list(names)


class Sides(NamedTuple):
    """What the first model makes of samples of both sides, as a test of a shift takes them.

    Attributes:
        source: held-out samples with their labels.
        target: samples of the pool, labels hidden.
        domains: names of either side.
        classes: names of the logits.
        adapted: whether the model has learnt from the target, and so may hide a shift.
    """

    source: Outputs
    target: Outputs
    domains: tuple[tuple[str, ...], tuple[str, ...]]
    classes: tuple[str, ...]
    adapted: bool


def no_sides() -> Sides:
    """Of a pool of answers alone.

    Raises:
        InputError: always.
    """
    raise InputError("there are answers alone")


@dataclass(frozen=True)
class Pool:
    """Samples of a target with the answers of several models.

    Attributes:
        runs: the models' names; the first is what the others are compared with in messages.
        samples: names, which a person finds the samples by.
        classes: names of all classes that any model knows.
        answers: a row a model, a column a sample: positions of classes.
        labels: the true ones, where the data has them; ``UNKNOWN`` elsewhere.
        content: a hash of the samples themselves.
        picture: a small image (height, width, 3) of a sample; ``None`` of what has none.
        description: what else a person sees of a sample, by its names: a table's columns.
        sides: source and target by the first model; an ``InputError`` says why there are none.
    """

    runs: tuple[str, ...]
    samples: tuple[str, ...]
    classes: tuple[str, ...]
    answers: IntArray
    labels: IntArray
    content: str
    picture: Callable[[int], Any] = lambda row: None
    description: Callable[[int], Mapping[str, str]] = lambda row: {}
    sides: Callable[[], Sides] = no_sides

    @property
    def size(self) -> int:
        """How many samples there are."""
        return len(self.samples)

    @cached_property
    def short_names(self) -> list[str]:
        """The models' names, as far as it takes to tell them apart.

        The ends of their paths; of names of runs that are made of overrides, the first of these.
        """
        paths = [PurePath(run).parts for run in self.runs]
        longest = max(map(len, paths))
        for length in range(1, longest):
            names = ["/".join(parts[-length:]) for parts in paths]
            if len(set(names)) == len(names):
                return first_words(names)
        return list(self.runs)

    def blind_name(self, sample: int) -> str:
        """The name of a sample without folders that are called as a class: they would answer."""
        *folders, file = self.samples[sample].split("/")
        classes = {name.strip().casefold() for name in self.classes}
        hidden = [HIDDEN if part.strip().casefold() in classes else part for part in folders]
        return "/".join((*hidden, file))

    @property
    def digest(self) -> str:
        """A hash of what a verdict is about, but for the answers: samples, and names of models.

        Answers of the same weights are not the same to the last on every machine.
        """
        words = "\0".join((*self.runs, "", *self.samples, "", *self.classes, self.content))
        return hashlib.sha256(words.encode(errors="surrogateescape")).hexdigest()[:16]

    def write_answers(self) -> dict[str, str]:
        """The answers of each model as a line of numbers."""
        return {
            run: " ".join(map(str, row))
            for run, row in zip(self.runs, self.answers.tolist(), strict=True)
        }

    def with_answers(self, lines: Mapping[str, str]) -> "Pool":
        """The same samples with the answers that were written so.

        Raises:
            ValueError: they are no answers to these samples.
        """
        answers = np.array([[int(word) for word in lines[run].split()] for run in self.runs])
        if answers.shape != self.answers.shape:
            raise ValueError(f"{answers.shape} answers, not {self.answers.shape}")
        if answers.min() < 0 or answers.max() >= len(self.classes):
            raise ValueError("an answer is no class")
        return replace(self, answers=answers)

    @cached_property
    def deciding(self) -> IntArray:
        """The samples on which not all models agree: no other can tell one from another."""
        return np.flatnonzero((self.answers != self.answers[0]).any(0))

    @cached_property
    def agreed(self) -> IntArray:
        """The samples on which all models agree."""
        return np.flatnonzero((self.answers == self.answers[0]).all(0))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """All pairs of models: the later one first, since the first is the baseline."""
        return [(b, a) for a, b in combinations(range(len(self.runs)), 2)]

    def differ(self, a: int, b: int) -> int:
        """On how many samples two models differ."""
        return int((self.answers[a] != self.answers[b]).sum())

    def commonest_differences(self, a: int, b: int, most: int = 5) -> list[tuple[str, str, int]]:
        """The classes that one model gives for another's, the commonest first."""
        where = self.answers[a] != self.answers[b]
        counts = Counter(
            zip(self.answers[a][where].tolist(), self.answers[b][where].tolist(), strict=True)
        )
        return [
            (self.classes[one], self.classes[other], count)
            for (one, other), count in counts.most_common(most)
        ]

    def last_examples(self, order: IntArray, asked: int, most: int) -> list[int]:
        """Samples on which not all models agree, of those that would be asked for last.

        They can be shown with what the models say: nobody is asked for them before three quarters
        of all that are left.
        """
        deciding = set(self.deciding.tolist())
        rest = [sample for sample in order[asked:].tolist() if sample in deciding]
        return rest[len(rest) - min(most, len(rest) // 4) :]

    def order(self, seed: int, *, accuracy: bool) -> IntArray:
        """The samples in the order in which they are asked for.

        Those that can decide, shuffled; with ``accuracy`` every second one is of those on which all
        agree, as long as there are any of both.
        """
        generator = np.random.default_rng(mix(seed, "audit", self.size))
        deciding = generator.permutation(self.deciding)
        if not accuracy:
            return deciding
        agreed = generator.permutation(self.agreed)
        both = min(len(deciding), len(agreed))
        mixed = np.stack([deciding[:both], agreed[:both]], 1).reshape(-1)
        return np.concatenate([mixed, deciding[both:], agreed[both:]])

    def compare(self, a: int, b: int, samples: Sequence[int], labels: Sequence[int]) -> Any:
        """What labels say of two models: 1 where the first alone is right, -1 where the second is.

        Args:
            a: the first.
            b: the second.
            samples: that were labelled, in the order drawn.
            labels: theirs; ``UNKNOWN`` where a person could not tell, which is right for neither.

        Returns:
            A value for each sample that they differ on.
        """
        rows, y = np.array(samples, dtype=np.int64), np.array(labels, dtype=np.int64)
        one, other = self.answers[a][rows], self.answers[b][rows]
        values = (one == y).astype(float) - (other == y).astype(float)
        return values[one != other]
