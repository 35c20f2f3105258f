"""The questions of an audit and their answers, kept in a folder."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from da_framework.audit.pool import UNKNOWN, IntArray, Pool
from da_framework.core.damage import explain_damage, read_json, read_text
from da_framework.core.errors import InputError, listed
from da_framework.core.files import write_text
from da_framework.core.text import csv_row, csv_text

CANNOT_TELL = "cannot tell"
"""The answer to a question that a person has none to."""
COLUMNS = ("question", "sample", "label")
STATE, QUESTIONS = "audit.json", "questions.csv"
WHAT = "record of an audit"


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
    def open(cls, folder: Path, about: Mapping[str, Any], order: IntArray) -> "Questions":
        """Those that the folder holds, or none yet.

        Raises:
            InputError: it holds another audit, or what it holds is damaged.
        """
        questions = cls(folder, about, order)
        file = folder / STATE
        if not file.is_file():
            return questions
        state: Any = read_json(file, WHAT)
        with explain_damage(file, WHAT, mend="move it away: questions.csv has the answers"):
            changed = [key for key, value in about.items() if state["about"][key] != value]
            questions.asked = int(state["asked"])
            questions.answers = {int(q): int(label) for q, label in state["answers"].items()}
        if changed:
            raise InputError(
                f"{folder} holds an audit of other {listed(changed)}: what was answered there says "
                "nothing here; out=NAME begins another"
            )
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
        rows = list(csv.reader(io.StringIO(read_text(file, "file of answers"))))
        head = [name.strip() for name in rows[0]] if rows else []
        if lacking := [name for name in COLUMNS if name not in head]:
            raise InputError(
                f"{file} has no column {listed(lacking)}: answers are written into "
                f"{self.folder / QUESTIONS}, or saved by the page beside it"
            )
        for line, row in enumerate(rows[1:], start=2):
            cells = dict(zip(head, map(csv_text, row), strict=False))
            answer = cells.get("label", "").strip()
            if answer:
                self.take(f"{file}, line {line}", cells, answer, pool)

    def take(self, where: str, cells: Mapping[str, str], answer: str, pool: Pool) -> None:
        """Takes one answer."""
        number = cells.get("question", "").strip()
        if not number.isdecimal() or not 1 <= int(number) <= len(self.order):
            raise InputError(f"{where}: {number!r} is no question; there are {len(self.order)}")
        question = int(number)
        sample = pool.samples[self.order[question - 1]]
        if cells.get("sample") != sample:
            raise InputError(
                f"{where}: question {question} is about {sample}, not {cells.get('sample')}: is it "
                "a file of another audit?"
            )
        label = UNKNOWN if answer == CANNOT_TELL else class_number(where, answer, pool.classes)
        if self.answers.get(question, label) != label:
            before = self.answers[question]
            said = CANNOT_TELL if before == UNKNOWN else pool.classes[before]
            raise InputError(
                f"{where}: question {question} was answered {said!r} before, now {answer!r}: "
                "an answer that was seen cannot be changed"
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
            word = "" if label is None else CANNOT_TELL if label == UNKNOWN else pool.classes[label]
            writer.writerow(csv_row([question, sample, word]))
        write_text(self.folder / QUESTIONS, stream.getvalue())

    def listed(self, pool: Pool) -> Sequence[tuple[int, str]]:
        """The questions that were asked, by number, each with the name of its sample."""
        return [(n + 1, pool.samples[self.order[n]]) for n in range(self.asked)]


def class_number(where: str, answer: str, classes: Sequence[str]) -> int:
    """The position of a class that a person has written.

    Raises:
        InputError: there is no such class.
    """
    if answer in classes:
        return list(classes).index(answer)
    folded = [name.casefold() for name in classes]
    if folded.count(answer.casefold()) == 1:
        return folded.index(answer.casefold())
    near = get_close_matches(answer, classes, n=1)
    hint = f"; nearest is {near[0]}" if near else ""
    raise InputError(
        f"{where}: {answer!r} is no class{hint}; there are {listed(classes)}, and {CANNOT_TELL}"
    )
