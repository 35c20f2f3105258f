"""Files of answers: samples with the classes that a person has named, as an audit saves them."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from da_framework.core.damage import explain_damage, read_bytes
from da_framework.core.errors import InputError, listed
from da_framework.core.text import csv_text, printable

CANNOT_TELL = "cannot tell"
"""The answer to a question that a person has none to."""
COLUMNS = ("question", "sample", "label")
WHAT = "file of answers"


class Answer(NamedTuple):
    """A line of such a file that has an answer.

    Attributes:
        where: it stands, for messages.
        question: its number, as written.
        sample: its name.
        label: what was answered.
    """

    where: str
    question: str
    sample: str
    label: str


def read_answers(file: Path, *, hint: str) -> Iterator[Answer]:
    """The answers in a file; lines without one are left out.

    Args:
        file: to read.
        hint: where such files come from, for the message.

    Raises:
        InputError: it is no file of answers.
    """
    with explain_damage(file, WHAT, mend="save it as CSV in UTF-8"):
        text = read_bytes(file, WHAT).decode("utf-8-sig")
        # spreadsheets write what their language separates by
        tables = (read_rows(text, separator) for separator in ",;\t")
        found = next((rows for rows in tables if rows and set(COLUMNS) <= set(rows[0])), None)
    if found is None:
        raise InputError(f"{file} does not begin with the columns {listed(COLUMNS)}: {hint}")
    head, *rows = found
    for line, row in enumerate(rows, start=2):
        cells = dict(zip(head, map(csv_text, row), strict=False))
        if cells.get("label", "").strip():
            question, sample, label = (cells.get(name, "") for name in COLUMNS)
            yield Answer(f"{file}, line {line}", question.strip(), sample, label)


def read_rows(text: str, separator: str) -> list[list[str]]:
    """The rows of a CSV file, without empty ones before the names of the columns."""
    # line ends as they are: a name may hold one
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    first = next((n for n, row in enumerate(rows) if any(map(str.strip, row))), len(rows))
    return [[name.strip().casefold() for name in row] for row in rows[first:][:1]] + rows[
        first + 1 :
    ]


def class_number(where: str, answer: str, classes: Sequence[str]) -> int:
    """The position of an answer that a person has written, as far as it can only mean one.

    Raises:
        InputError: there is no such class.
    """
    readings: tuple[Callable[[str], str], ...] = (
        printable,
        lambda text: printable(text.strip()),
        lambda text: printable(text.strip()).casefold(),
    )
    for reading in readings:
        same = [n for n, name in enumerate(classes) if reading(name) == reading(answer)]
        if len(same) == 1:
            return same[0]
    near = get_close_matches(answer, classes, n=1)
    hint = f"; nearest is {near[0]}" if near else ""
    raise InputError(f"{where}: {answer[:40]!r} is no class{hint}; there are {listed(classes)}")


def match_answers(
    file: Path, samples: Mapping[str, Sequence[str]], classes: Sequence[str]
) -> dict[str, dict[int, int]]:
    """Labels of samples by the answers in a file: by domain and position.

    A sample is called as in the data, or by the end of its path: an audit of a folder names files
    from there on. Who could not tell has given no label.

    Args:
        file: of answers.
        samples: names of the samples of each domain.
        classes: names of the classes.

    Raises:
        InputError: it is no such file, or names what is not there, or two samples alike.
    """
    places: dict[str, list[tuple[str, int]]] = {}
    for domain, names in samples.items():
        for row, name in enumerate(names):
            parts = printable(name.strip()).split("/")
            for n in range(len(parts)):
                places.setdefault("/".join(parts[n:]), []).append((domain, row))
    labels: dict[str, dict[int, int]] = {domain: {} for domain in samples}
    for answer in read_answers(file, hint="answers are what da audit asks for"):
        number = class_number(answer.where, answer.label, (*classes, CANNOT_TELL))
        found = places.get(printable(answer.sample.strip()), [])
        if len(found) != 1:
            many = "no sample of the target is" if not found else f"{len(found)} samples are"
            mend = "; da audit writes its name once it has read the answer" * (
                "..." in answer.sample
            )
            raise InputError(f"{answer.where}: {many} called {answer.sample[:80]}{mend}")
        domain, row = found[0]
        if number == len(classes):
            continue
        if labels[domain].setdefault(row, number) != number:
            raise InputError(f"{answer.where}: {answer.sample[:80]} has two labels")
    return labels
