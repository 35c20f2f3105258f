"""Questions and answers as spreadsheets, pages and damaged files have them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from da_framework.audit.page import write_label_page
from da_framework.audit.pool import UNKNOWN, Pool
from da_framework.audit.questions import QUESTIONS, STATE, Questions
from da_framework.core.errors import InputError
from da_framework.datasets.answers import CANNOT_TELL

ABOUT = {"runs": ["one", "two"]}
SIZE = 12


def pool_of(*, sample: str = "{}.png", classes: tuple[str, ...] = ("cup", "pen", "hat")) -> Pool:
    answers = np.stack([np.arange(SIZE) % 3, (np.arange(SIZE) + 1) % 3])
    samples = tuple(sample.format(n) for n in range(SIZE))
    return Pool(("one", "two"), samples, classes, answers, answers[0], "content")


def open_questions(folder: Path, pool: Pool, seed: int = 0) -> Questions:
    order = pool.order(seed, accuracy=False)
    return Questions.open(folder, ABOUT, order, len(pool.classes))


def asked(folder: Path, pool: Pool, seed: int = 0) -> Questions:
    questions = open_questions(folder, pool, seed)
    questions.ask(4)
    questions.write(pool, {})
    return questions


def page_data(folder: Path) -> Any:
    text = (folder / "label.html").read_text()
    return json.loads(text.partition("const data = ")[2].partition(";\n")[0])


SPREADSHEETS = {
    "a mark of byte order": lambda text: "\ufeff" + text,
    "semicolons": lambda text: text.replace(",", ";"),
    "tabs": lambda text: text.replace(",", "\t"),
    "lines of Windows": lambda text: text.replace("\n", "\r\n"),
    "lines of old": lambda text: text.replace("\n", "\r"),
    "all of it": lambda text: "\ufeff" + text.replace(",", ";").replace("\n", "\r\n"),
    "empty lines": lambda text: "\n" + text.replace("\n", "\n\n"),
    "capitals": lambda text: text.upper().replace(".PNG", ".png"),
    "blanks": lambda text: text.replace(",", " ,"),
}


@pytest.mark.parametrize("change", SPREADSHEETS.values(), ids=SPREADSHEETS)
def test_answers_are_read_as_spreadsheets_write_them(tmp_path: Path, change: Any) -> None:
    pool = pool_of()
    questions = asked(tmp_path, pool)
    names = [name for _, name in questions.listed(pool)]
    rows = [
        f"{n},{name},{word}"
        for n, name, word in zip((1, 2), names[:2], ("pen", CANNOT_TELL), strict=True)
    ]
    file = tmp_path / "answers.csv"
    text = change("\n".join(["question,sample,label", *rows]) + "\n")
    file.write_bytes(text.encode())
    questions.read(file, pool)
    assert questions.answers == {1: 1, 2: UNKNOWN}


@pytest.mark.parametrize(
    ("number", "label", "words"),
    [
        ("9" * 5000, "cup", "is no question"),
        ("1", "c" * 200_000, "no file of answers"),
        ("1", "c\udcfcp", "save it as CSV in UTF-8"),
    ],
    ids=["a huge number", "a huge cell", "not UTF-8"],
)
def test_what_is_no_file_of_answers_is_one_line(
    tmp_path: Path, number: str, label: str, words: str
) -> None:
    pool = pool_of()
    questions = asked(tmp_path, pool)
    text = f"question,sample,label\n{number},{questions.listed(pool)[0][1]},{label}\n"
    (tmp_path / "answers.csv").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=words):
        questions.read(tmp_path / "answers.csv", pool)
    assert not questions.answers


ODD = ("a,\n{}", "a\r{}", "=1+{}", "a\xa0{}", "\u200d{}", "\u202e{}", "\udcff{}", " {} ", "same")


@pytest.mark.parametrize("name", ODD)
def test_odd_names_come_back_from_the_page_and_from_the_table(tmp_path: Path, name: str) -> None:
    pool = pool_of(sample=name, classes=(name.format("c"), "Pen", "pen"))
    questions = asked(tmp_path, pool)
    write_label_page(tmp_path / "label.html", pool, questions)
    data = page_data(tmp_path)
    cells = [own["cell"] for own in data["classes"]]
    with (tmp_path / "answers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "sample", "label"])
        for own, cell in zip(data["questions"], cells, strict=True):
            writer.writerow([own["question"], own["cell"], cell])
    questions.read(tmp_path / "answers.csv", pool)
    expected = {1: 0, 2: 1, 3: 2, 4: UNKNOWN}
    assert questions.answers == expected
    questions.write(pool, {})
    again = open_questions(tmp_path, pool)
    again.read(tmp_path / QUESTIONS, pool)
    assert again.answers == expected


@pytest.mark.parametrize(
    "state",
    [
        {"asked": 10**12, "answers": {}},
        {"asked": -1, "answers": {}},
        {"asked": 1.5, "answers": {}},
        {"asked": 3, "answers": {"99": 0}},
        {"asked": 3, "answers": {"0": 0}},
        {"asked": 3, "answers": {"1": 7}},
        {"asked": 3, "answers": {"1": -2}},
        {"asked": 3, "answers": {"1": True}},
        {"asked": 3, "answers": [0]},
        {"answers": {}},
    ],
)
def test_a_damaged_record_is_one_line(tmp_path: Path, state: dict[str, Any]) -> None:
    (tmp_path / STATE).write_text(json.dumps({"about": ABOUT, **state}))
    with pytest.raises(InputError, match=r"audit\.json is damaged"):
        open_questions(tmp_path, pool_of())


def test_an_audit_that_asked_nothing_is_in_nobodys_way(tmp_path: Path) -> None:
    pool = pool_of()
    open_questions(tmp_path, pool).write(pool, {})
    other = {"runs": ["one", "three"]}
    assert Questions.open(tmp_path, other, pool.order(0, accuracy=False), 3).asked == 0
    asked(tmp_path, pool)
    with pytest.raises(InputError, match="other runs"):
        Questions.open(tmp_path, other, pool.order(0, accuracy=False), 3)


def test_a_browser_keeps_the_answers_of_two_orders_apart(tmp_path: Path) -> None:
    """Question 1 is of another sample with another seed: what was said of it must not be shown."""
    pool, places = pool_of(), set()
    for seed in (0, 1):
        questions = asked(tmp_path / str(seed), pool, seed)
        write_label_page(tmp_path / "label.html", pool, questions)
        places.add(page_data(tmp_path)["audit"])
    assert len(places) == 2
