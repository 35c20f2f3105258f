"""One rule for all numbers that are shown."""

import re
from pathlib import Path

import pytest

import da_framework
from da_framework.core.rounding import (
    format_fixed,
    format_p,
    format_percent,
    format_signed,
    round_half_up,
)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (74.25, 1, "74.3"),  # the format of Python alone says 74.2
        (74.35, 1, "74.4"),
        (100 * 0.0645, 1, "6.5"),  # 6.450000000000001, and 100 * 0.5745 is 57.449999999999996
        (100 * 0.5745, 1, "57.5"),
        (-0.25, 1, "-0.3"),
        (-0.04, 1, "0.0"),
        (2.675, 2, "2.68"),
        (99.999, 1, "100.0"),
        (0.5, 0, "1"),
        (1e-9, 4, "0.0000"),
        (float("nan"), 1, "nan"),
    ],
)
def test_a_half_goes_away_from_zero(value: float, digits: int, text: str) -> None:
    assert format_fixed(value, digits) == text


def test_every_tenth_of_a_percent_is_rounded_alike_whatever_its_last_bits() -> None:
    for tenths in range(10_000):
        share = (tenths + 0.5) / 10_000  # halfway between two hundredths of a percent
        assert format_percent(share, 2) == f"{(tenths + 1) // 100}.{(tenths + 1) % 100:02}%"


def test_differences_have_signs_and_p_values_no_zero() -> None:
    assert [format_signed(value) for value in (0.25, -0.25, 0.0, -0.01)] == [
        *("+0.3", "-0.3", "+0.0", "+0.0")
    ]
    assert [format_p(p) for p in (0.0225, 1.0, 0.0005, 0.001)] == [
        *("p = .023", "p = 1.000", "p < .001", "p = .001")
    ]
    assert float(round_half_up(0.125, 2)) == 0.13


def test_results_are_rounded_by_nothing_else() -> None:
    root = Path(da_framework.__file__).parent
    other = re.compile(r"""[\w\])]:\.[1-9](f|%)\}|:\+\.\df""")
    shown = [*(root / "results").glob("*.py"), *(root / "callbacks").glob("*.py")]
    shown += [
        root / "cli" / f"{name}.py" for name in ("doctor", "rank", "search", "shift", "sweeps")
    ]
    texts = {file: file.read_text().splitlines() for file in shown}
    lines = [line for file, text in texts.items() if file.name != "progress.py" for line in text]
    assert [line for line in lines if other.search(line)] == []
