"""Simulates what audits promise, in many orders, and fills its table of experiments/audit.

python scripts/audit_validity.py
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from da_framework.audit.betting import betting_wealth
from da_framework.core.files import write_text
from da_framework.core.rounding import format_percent
from da_framework.core.text import replace_marked

ROOT = Path(__file__).resolve().parents[1] / "experiments" / "audit"
BEGIN, END = "<!-- validity -->", "<!-- /validity -->"
"""Around the table in the README."""
ALPHA = 0.05
ORDERS = 10_000
SIZES = (20, 100, 500, 2000, 5000)
"""Samples on which two runs differ."""


def make_pools(size: int) -> dict[str, tuple[int, int, int]]:
    """Samples that the first alone has right, that the second alone has, and that neither has."""
    half, quarter, tenth = size // 2, size // 4, size // 10
    return {
        "no gain": (half, half, size - 2 * half),
        "no gain, half ties": (quarter, quarter, size - 2 * quarter),
        "a gain of two samples": (quarter + 1, quarter - 1, size - 2 * quarter),
        "a gain": (quarter + tenth, quarter - tenth, size - 2 * quarter),
    }


def simulate_pool(pool: tuple[int, int, int], *, orders: int) -> dict[str, Any]:
    """Shares of the orders in which, at some look, a verdict or an interval is wrong."""
    values = np.repeat([1.0, -1.0, 0.0], pool)
    size, total = len(values), pool[0] - pool[1]
    generator = np.random.default_rng(size)
    wrong = missed = 0
    for _ in range(orders):
        draws = generator.permutation(values)
        outside = [
            betting_wealth(side * draws, total=side * total, size=size).max() >= 2 / ALPHA
            for side in (1, -1)
        ]
        missed += any(outside)
        # with a gain, the one wrong verdict is that there is a loss
        wrong += (
            any(outside)
            if total == 0
            else betting_wealth(-draws, total=0, size=size).max() >= 2 / ALPHA
        )
    return {"wrong": wrong / orders, "missed": missed / orders}


def simulate_pools(orders: int) -> list[dict[str, Any]]:
    """A row for each pool."""
    rows = []
    for size in SIZES:
        for name, pool in make_pools(size).items():
            found = simulate_pool(pool, orders=orders)
            rows.append({"pool": name, "counts": pool, "orders": orders, **found})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def render_table(rows: list[dict[str, Any]]) -> str:
    """The table in Markdown."""
    heads = "differ on, pool, only the first right, only the second, neither, "
    heads += "wrong verdict at any look, gain outside its interval at any look"
    columns = heads.split(", ")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [
        f"| {sum(row['counts'])} | {row['pool']} | {' | '.join(map(str, row['counts']))} "
        f"| {format_percent(row['wrong'], 2)} | {format_percent(row['missed'], 2)} |"
        for row in rows
    ]
    return "\n".join([*lines, "", f"{rows[0]['orders']} orders of each; the error is {ALPHA}."])


def main() -> None:
    """Simulates, records and fills the table."""
    rows = simulate_pools(ORDERS)
    write_text(ROOT / "validity.recorded.json", json.dumps(rows, indent=1) + "\n")
    readme = ROOT / "README.md"
    write_text(readme, replace_marked(readme.read_text("utf-8"), BEGIN, END, render_table(rows)))


if __name__ == "__main__":
    main()
