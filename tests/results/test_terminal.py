"""Reports in a terminal: as wide as it, narrow or without signs."""

import io
from typing import Any

import pytest
from rich.console import Console

from da_framework.results.report import make_report
from da_framework.results.terminal import print_report
from tests.run_records import baseline_records, table_record


def records(tasks: int = 1) -> list[Any]:
    places = [(f"s{n}",) for n in range(tasks)]
    return [
        record
        for source in places
        for record in (
            *(table_record(0.5 + s / 50, seed=s, source=source) for s in (1, 2, 3)),
            *(table_record(0.6 + s / 99, seed=s, method="mmd", source=source) for s in (1, 2, 3)),
            *(
                run | {"domains": {"source": [*source], "target": ["usps"]}}
                for run in baseline_records({1: 0.4, 2: 0.41, 3: 0.45})
            ),
        )
    ]


def printed(runs: list[Any], *, width: int, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_report(make_report(runs, against=["lower"]), Console(file=stream, width=width))
    stream.seek(0)
    return stream.read()


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 140, 200])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_torn(width: int) -> None:
    text = printed(records(), width=width)
    assert max(map(len, text.splitlines())) <= width
    for figure in ("54.0 ± 5.0", "64.0 ± 5.0", "62.0 ± 2.5", "s0 → usps"):
        assert figure in text


def test_where_there_is_room_a_method_is_a_line() -> None:
    lines = printed(records(), width=140).splitlines()
    (dann,) = [line for line in lines if line.startswith("dann")]
    assert "54.0 ± 5.0" in dann
    assert "+12.0 ± 2.5 (worst +11.0), p = .005, n = 3" in dann
    (head,) = [line for line in lines if line.startswith("method") and "seeds" in line]
    assert head.split()[:4] == ["method", "last", "chosen", "oracle"]


def test_a_long_name_is_folded_and_never_cut() -> None:
    runs = [
        table_record(0.5 + s / 50, seed=s, overrides=(f"init_from=far/{'a' * 90}{end}",))
        for s in (1, 2, 3)
        for end in "xy"
    ]
    text = printed([*runs, *baseline_records({1: 0.4, 2: 0.41, 3: 0.45})], width=120)
    assert "method " in text  # a table
    assert "…" not in text
    joined = "".join(line.partition("  ")[0].strip() for line in text.splitlines())
    assert f"{'a' * 90}x" in joined
    assert f"{'a' * 90}y" in joined


def test_without_utf_8_signs_are_spelled_out() -> None:
    text = printed(records(6), width=100, encoding="ascii")
    assert "s0 -> usps" in text
    assert "54.0 +- 5.0" in text
    assert "chi2" in text
    assert "?" not in text


def test_without_a_terminal_there_is_no_colour() -> None:
    assert "\x1b" not in printed(records(), width=80)


def test_a_name_is_no_markup_and_moves_no_cursor() -> None:
    runs = [table_record(0.5, method="[/b]x\x1b[2J", seed=seed) for seed in (1, 2, 3)]
    stream = io.StringIO()
    print_report(make_report(runs), Console(file=stream, width=80))
    assert "[/b]x\\x1b[2J" in stream.getvalue()
