"""Names are data: what a sink makes of them is what they are, and nothing else."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from da_framework.core.text import (
    csv_cell,
    csv_row,
    csv_text,
    figure_text,
    file_name,
    markdown,
    markdown_block,
    markdown_code,
    printable,
    printable_lines,
    printable_tree,
    script_json,
)
from tests.odd_names import ESCAPES

ALL = pytest.mark.parametrize("name", ESCAPES.values(), ids=ESCAPES.keys())
TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
PARSER = MarkdownIt("gfm-like", {"linkify": False}).enable("table")


def leaves(tokens: list[Token]) -> list[Token]:
    return [leaf for token in tokens for leaf in (leaves(token.children or []) or [token])]


def rendered(text: str) -> tuple[str, set[str]]:
    """What a reader of Markdown sees, and the kinds of what is there beside text."""
    tokens = leaves(PARSER.parse(text))
    kinds = {token.type for token in tokens} - {"text", "inline", "text_special"}
    return "".join(token.content for token in tokens), kinds


@ALL
def test_what_is_printed_is_one_line_of_printable_characters(name: str) -> None:
    assert printable(name).isprintable()
    assert printable(printable(name)) == printable(name)


def test_printable_says_what_is_there() -> None:
    assert printable("a\n\x1b[31m\u202e\udcff") == r"a\n\x1b[31m\u202e\udcff"
    assert printable("Zürich 中文 -> :x:") == "Zürich 中文 -> :x:"
    assert printable(" ") == "' '"
    assert printable("") == ""
    assert printable(3) == "3"


def test_lines_and_tabs_of_ours_stay() -> None:
    assert printable_lines("a:\n\tb\r\n\n  c\x1b") == "a:\n\tb\\r\n\n  c\\x1b"


def test_structures_are_printable_to_their_leaves() -> None:
    odd = {"a\n": ["\x1b", 1, None, {"b": ("c\r",)}]}
    assert printable_tree(odd) == {r"a\n": [r"\x1b", 1, None, {"b": [r"c\r"]}]}


@ALL
def test_markdown_renders_a_name_as_itself(name: str) -> None:
    shown, kinds = rendered(f"x {markdown(name)} x")
    assert shown == f"x {printable(name)} x"
    assert not kinds - {"paragraph_open", "paragraph_close"}


@ALL
def test_a_name_breaks_no_table(name: str) -> None:
    row = f"| {markdown(name)} | {markdown_code(name, in_table=True)} | end |"
    tokens = PARSER.parse(f"| a | b | c |\n|---|---|---|\n{row}\n")
    cells = [token.children or [] for token in tokens if token.type == "inline"][3:]
    texts = ["".join(child.content for child in cell) for cell in cells]
    assert texts == [printable(name), printable(name), "end"]
    assert {child.type for child in cells[0]} <= {"text", "text_special"}
    assert [child.type for child in cells[1]] == ["code_inline"]


@ALL
def test_a_block_holds_a_command_whatever_is_in_it(name: str) -> None:
    tokens = PARSER.parse(markdown_block(f"da train x='{name}'\n```\n", language="bash"))
    assert [token.type for token in tokens] == ["fence"]


def test_ordinary_names_stay_readable() -> None:
    for name in (
        "digits_full",
        "optimizer.lr=0.1",
        "mnist -> usps",
        "hidden=[10,5]",
        "50 %, a & b",
    ):
        assert markdown(name) == name
        assert markdown_code(name) == f"`{name}`"
        assert figure_text(name) == name
    for name in ("mnist", "Real World", "phone é", "v1.2_a-b"):
        assert file_name(name) == name


@ALL
def test_nothing_ends_a_script(name: str) -> None:
    text = script_json({name: [name]})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {name: [name]}


@ALL
def test_a_spreadsheet_computes_no_name(name: str) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerow(csv_row([name, 1]))
    stream.seek(0)
    cell, number = next(csv.reader(stream))
    assert cell[:1] not in set("=+-@\t\r\n")
    assert csv_text(cell) == name
    assert number == "1"


def test_numbers_are_no_formulas() -> None:
    numbers = [-1, "-1", "+1.5e3", -0.25, "-inf"]
    assert csv_row(numbers) == [str(number) for number in numbers]


@given(TEXTS)
def test_cells_come_back_whatever_is_in_them(text: str) -> None:
    assert csv_text(csv_cell(text)) == text


@ALL
def test_a_file_of_a_name_lies_in_its_folder(tmp_path: Path, name: str) -> None:
    stem = file_name(name)
    assert Path(stem).name == stem
    assert len(os.fsencode(stem)) < 230
    assert stem[0] not in ".-~"
    (tmp_path / f"{stem}.png").touch()
    assert [path.stem for path in tmp_path.iterdir()] == [stem]


def test_files_of_different_names_are_different() -> None:
    stems = {file_name(name) for name in ESCAPES.values()}
    assert len(stems) == len(ESCAPES)
    assert file_name("a/b") != file_name("a_b") != file_name("a\\b")


@ALL
def test_a_figure_shows_a_name(name: str) -> None:
    from matplotlib.text import Text

    label: Any = Text()
    text, formula = label._preprocess_math(figure_text(name, most=10**6))
    assert not formula
    assert text.strip() == printable(name).strip()
    assert not text.startswith("_")
    assert len(figure_text(name, most=10)) <= 10 + 3
