"""The questions of an audit and their answers, kept in a folder."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from da_framework.audit.pool import UNKNOWN, IntArray, Pool
from da_framework.core.damage import explain_damage, read_json
from da_framework.core.errors import InputError, listed
from da_framework.core.files import write_text
from da_framework.core.text import csv_row, printable
from da_framework.datasets.answers import (
    CANNOT_TELL,
    COLUMNS,
    Answer,
    class_number,
    read_answers,
)

STATE, QUESTIONS = "audit.json", "questions.csv"
WHAT = "record of an audit"
MEND = "move it away: questions.csv has the answers"


@dataclass
class Questions:
    """What was asked and answered.

    Attributes:
        folder: of the audit.
        about: what it is about; another audit needs a folder of its own.
        order: samples in the order drawn.
        asked: how many have been.
        answers: question to class, ``UNKNOWN`` where a person could not tell.
    """

    folder: Path
    about: Mapping[str, Any]
    order: IntArray
    asked: int = 0
    answers: dict[int, int] = field(default_factory=dict)

    @classmethod
    def open(
        cls, folder: Path, about: Mapping[str, Any], order: IntArray, classes: int
    ) -> "Questions":
        """Those that the folder holds, or none yet.

        Args:
            folder: of the audit.
            about: what it is about.
            order: samples in the order drawn.
            classes: how many there are.

        Raises:
            InputError: it holds another audit, or what it holds is damaged.
        """
        questions = cls(folder, about, order)
        file = folder / STATE
        if not file.is_file():
            return questions
        state: Any = read_json(file, WHAT)
        with explain_damage(file, WHAT, mend=MEND):
            changed = [key for key, value in about.items() if state["about"][key] != value]
            if changed and state["asked"] == 0:
                return questions  # nobody has seen a question of the other
        if changed:
            raise InputError(
                f"{folder} holds an audit of other {listed(changed)}: what was answered there says "
                "nothing here; out=NAME begins another"
            )
        with explain_damage(file, WHAT, mend=MEND):
            questions.asked = whole_number(state["asked"], 0, len(order))
            questions.answers = {
                whole_number(int(question), 1, len(order)): whole_number(
                    label, UNKNOWN, classes - 1
                )
                for question, label in state["answers"].items()
            }
        return questions

    def ask(self, count: int) -> None:
        """Asks for so many more than are answered; those that wait are not asked for again."""
        self.asked = max(self.asked, min(len(self.order), len(self.answers) + count))

    def read(self, file: Path, pool: Pool) -> None:
        """Takes the answers in a file; one that is there already is not counted twice.

        Raises:
            InputError: it is no file of answers to these questions, names a class that is none, or
                contradicts what was answered before.
        """
        hint = f"answers are written into {self.folder / QUESTIONS}, or saved by the page beside it"
        for answer in read_answers(file, hint=hint):
            self.take(answer, pool)

    def take(self, answer: Answer, pool: Pool) -> None:
        """Takes one answer."""
        where, number = answer.where, answer.question
        digits = number.isdecimal() and len(number) <= len(str(len(self.order)))
        if not digits or not 1 <= int(number) <= len(self.order):
            raise InputError(
                f"{where}: {number[:20]!r} is no question; there are {len(self.order)}"
            )
        question = int(number)
        place = int(self.order[question - 1])
        sample = pool.samples[place]
        known = (sample, pool.blind_name(place))
        if printable(answer.sample.strip()) not in [printable(name.strip()) for name in known]:
            raise InputError(
                f"{where}: question {question} is about {sample}, not {answer.sample}: is it a "
                "file of another audit?"
            )
        given = class_number(where, answer.label, (*pool.classes, CANNOT_TELL))
        label = UNKNOWN if given == len(pool.classes) else given
        if self.answers.get(question, label) != label:
            before = self.answers[question]
            said = CANNOT_TELL if before == UNKNOWN else pool.classes[before]
            raise InputError(
                f"{where}: question {question} was answered {said!r} before, now "
                f"{answer.label!r}: an answer that was seen cannot be changed"
            )
        self.answers[question] = label
        self.asked = max(self.asked, question)

    def write(self, pool: Pool, facts: Mapping[str, Any]) -> None:
        """Keeps all of it: first what counts, then the file to write answers into."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "about": self.about,
            "asked": self.asked,
            "answers": {str(q): self.answers[q] for q in sorted(self.answers)},
            **facts,
        }
        write_text(self.folder / STATE, json.dumps(state, indent=1, allow_nan=False) + "\n")
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for question, sample in self.listed(pool):
            label = self.answers.get(question)
            if label is None:
                sample = pool.blind_name(int(self.order[question - 1]))
            word = "" if label is None else CANNOT_TELL if label == UNKNOWN else pool.classes[label]
            writer.writerow(csv_row([question, printable(sample), printable(word)]))
        write_text(self.folder / QUESTIONS, stream.getvalue())

    def listed(self, pool: Pool) -> Sequence[tuple[int, str]]:
        """The questions that were asked, by number, each with the name of its sample."""
        return [(n + 1, pool.samples[self.order[n]]) for n in range(self.asked)]


def whole_number(value: object, low: int, high: int) -> int:
    """A whole number, if it is one and in its range.

    Raises:
        ValueError: it is not.
    """
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{value!r} is no whole number from {low} to {high}")
    return value
