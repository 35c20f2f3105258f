"""Odd terminals: 40 columns, no UTF-8, no colour."""

import io
import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Any

import pytest
from rich.table import Table

from da_framework.cli.main import main
from da_framework.core.terminal import NARROW, CleanStream, open_console
from da_framework.core.text import encodable, wrap_lines
from tests.run_records import table_record, write_run

WIDTH = 40
STYLES = re.compile(r"\x1b\[[\d;]*m")


class Screen(io.TextIOWrapper):
    """A terminal that shows ASCII alone."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="ascii", write_through=True)

    def isatty(self) -> bool:
        return True

    def run(self, *words: str) -> None:
        with redirect_stdout(self), redirect_stderr(self), suppress(SystemExit):
            main(words)

    def text(self) -> str:
        return STYLES.sub("", self.buffer.getvalue().decode("ascii"))  # type: ignore[attr-defined]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    shown = Screen()
    for name, value in (("COLUMNS", str(WIDTH)), ("NO_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    return shown


@pytest.mark.parametrize(
    "command",
    [
        *("--help", "train --help", "search --help", "report --help", "list method"),
        *("list dann kmm", "list setting=open-set", "reproduce --list", "report run"),
        *("lst", "list dan", "doctor nowhere", "report --validtors run"),
    ],
)
def test_what_is_printed_fits_forty_columns_of_ascii(command: str, da: Any, screen: Screen) -> None:
    write_run(da.folder / "run", table_record())
    screen.run(*command.split())
    lines = screen.text().splitlines()
    assert lines
    # a word cannot be broken
    assert [line for line in lines if len(line) > WIDTH and " " in line.strip()] == []
    assert not re.search(r"\\u[0-9a-f]{4}", screen.text())


def test_a_command_of_the_help_that_is_broken_can_be_typed(screen: Screen) -> None:
    screen.run("train", "--help")
    folder = ("  da train dataset=folder", "dataset.root=photos", "dataset.source=[studio]", "")
    assert " \\\n      ".join(folder) in screen.text()
    alone = ("  da train", "# DANN on the embedded digits: a", "# first run\n")
    assert "\n      ".join(alone) in screen.text()


def test_a_pipe_has_whole_lines_and_no_escapes(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    write_run(da.folder / "run", table_record())
    for command in ("list dataset", "report run", "list dann"):
        assert "\x1b" not in da(*command.split()).out
    assert len(da("list", "dataset").out.splitlines()) == 2 + len(
        re.findall(r"\[da_framework\]", da("list", "dataset").out)
    )


def test_signs_are_spelled_out_and_all_else_is_escaped() -> None:
    assert encodable("λ ± → größe", "ascii") == "lambda +- -> gr\\xf6\\xdfe"
    assert encodable("λ größe", "utf-8") == "λ größe"
    assert encodable("λ größe", "latin-1") == "lambda größe"
    assert encodable("λ", "no such") == "lambda"


def test_lines_are_broken_between_words_and_go_on_indented() -> None:
    text = "short\n  aaaa bbbb cccc\n/a/path/that/is/long x"
    assert wrap_lines(text, 12) == ("short\n  aaaa bbbb\n    cccc\n/a/path/that/is/long\n  x")


@pytest.mark.parametrize(("width", "broken"), [(WIDTH, True), (NARROW, False)])
def test_a_terminal_breaks_long_lines_only_where_it_is_narrow(
    width: int, *, broken: bool, monkeypatch: pytest.MonkeyPatch, screen: Screen
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    CleanStream(screen).write("a word " * 20 + "\n")
    assert (len(screen.text().splitlines()) > 1) is broken


def table() -> Table:
    made = Table(title="of a run")
    for head in ("target", "accuracy", "balanced accuracy", "p"):
        made.add_column(head)
    made.add_row("größe", "0.1234", "0.5678", "p < .001")
    return made


@pytest.mark.parametrize(
    ("width", "has"),
    [
        (30, "gr\\xf6\\xdfe\n  accuracy 0.1234\n  balanced accuracy 0.5678\n  p < .001\n"),
        (79, "| gr\\xf6\\xdfe | 0.1234   | 0.5678            | p < .001 |"),
    ],
)
def test_a_table_that_does_not_fit_has_a_line_a_figure(
    width: int, has: str, screen: Screen
) -> None:
    open_console(file=screen, width=width).print(table())
    assert has in screen.text()


@pytest.mark.parametrize("write", [print, lambda text: open_console().print(text)])
def test_nothing_printed_ends_a_command(write: Callable[[str], None], screen: Screen) -> None:
    with redirect_stdout(CleanStream(screen)):
        write("± … 日本 \udcff")
    assert "+- ~ \\u65e5\\u672c \\udcff" in screen.text()
