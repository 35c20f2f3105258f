"""A report in a terminal: a table as wide as it, or a line a figure where it is narrow."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from da_framework.core.rounding import format_fixed
from da_framework.core.text import encodable, printable
from da_framework.results.ranks import FEWEST_TASKS, Ranks, rank_notes
from da_framework.results.report import Report

SENTENCE = 18
"""Characters of a column from which on it may be wrapped."""
GAP = 3
"""Characters between columns."""


def print_report(report: Report, console: Console) -> None:
    """Prints a report as wide as the terminal, without colour or signs that it does not have."""
    for line in report.common_lines():
        console.print(shown(line, console), style="dim")
    for task, rows in tasks_of(report):
        console.print()
        print_table(console, task, [heads(report), *rows])
    console.print()
    for note in (*report.notes(), *report.verified_lines()):
        console.print(shown(note, console), style="dim")
    if report.ranks:
        print_ranks(console, report.ranks)


def tasks_of(report: Report) -> Iterator[tuple[str, list[list[str]]]]:
    """The rows of each task as texts: the task stands above its table, once."""
    for task in dict.fromkeys(row.task for row in report.rows):
        lines = [report.texts(row) for row in report.rows if row.task == task]
        yield task, [line[1:] for line in lines]


def heads(report: Report) -> list[str]:
    """The heads of a task's table: the notes say what ± is."""
    return [
        column.removesuffix(" ± 95 % interval").replace("`", "") for column in report.columns[1:]
    ]


def print_table(console: Console, title: str, lines: Sequence[Sequence[str]]) -> None:
    """Prints a table, or, where its columns do not fit side by side, a line for each figure."""
    head, *body = [[shown(cell, console) for cell in line] for line in lines]
    widths = [least_width(column) for column in zip(head, *body, strict=True)]
    console.print(shown(title, console), style="bold")
    if sum(widths) + GAP * (len(widths) - 1) > console.width:
        for name, *figures in body:
            console.print(name)
            parts = [
                Text.assemble((column.plain, "dim"), " ", figure)
                for column, figure in zip(head[1:], figures, strict=True)
                if figure.plain
            ]
            for line in pack_lines(parts, console.width - 2):
                console.print(Padding(line, (0, 0, 0, 2)))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column, least in zip(head, widths, strict=True):
        table.add_column(column, min_width=least, overflow="fold")
    for cells in body:
        table.add_row(*cells)
    console.print(table)


def pack_lines(parts: Sequence[Text], width: int) -> Iterator[Text]:
    """Parts on as few lines as they need, none of them torn but those longer than a line."""
    line = Text()
    for part in parts:
        if line and line.cell_len + GAP + part.cell_len > width:
            yield line
            line = Text()
        line = Text.assemble(line, " " * GAP if line else "", part)
    yield line


def least_width(column: Sequence[Text]) -> int:
    """How narrow a column may be: figures stay on a line, sentences are wrapped."""
    return max(min(text.cell_len, SENTENCE) for text in column)


def print_ranks(console: Console, ranks: Ranks) -> None:
    """Prints the ranks of a report's methods."""
    console.print()
    tested = len(ranks.tasks) >= FEWEST_TASKS and bool(ranks.test)
    lines = [
        [name, format_fixed(mean, 2), *([", ".join(ranks.alike(n))] if tested else [])]
        for n, (name, mean) in enumerate(zip(ranks.names, ranks.means, strict=True))
    ]
    head = ["method", "mean rank", *(["not told apart from"] if tested else [])]
    print_table(console, f"Ranks over {len(ranks.tasks)} tasks", [head, *lines])
    for note in rank_notes(ranks):
        console.print(shown(note, console), style="dim")


def shown(text: str, console: Console) -> Text:
    """A text as the terminal can show it, whatever is in it."""
    plain = printable(text.replace("`", ""))  # a terminal has no code spans
    return Text(encodable(plain, console.encoding))
