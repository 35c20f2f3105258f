"""What an audit has found of a run: the one number on a target that labels stand behind."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from da_framework.core.damage import explain_damage, is_there, read_json
from da_framework.core.files import write_text
from da_framework.core.rounding import format_percent, format_signed
from da_framework.core.text import printable
from da_framework.results.folder import RunFolder

WHAT = "verdict of an audit"


def write_verified(folder: Path, facts: Mapping[str, Any]) -> None:
    """Writes what an audit has found beside a run's record, in the place of what an earlier did."""
    write_text(RunFolder(folder).verified, json.dumps(facts, indent=1, allow_nan=False) + "\n")


def describe_verified(folder: Path) -> list[str]:
    """What an audit has found of a run, in sentences; none where there was none.

    Raises:
        InputError: the file is damaged.
    """
    file = RunFolder(folder).verified
    if not is_there(file):
        return []
    facts: Any = read_json(file, WHAT)
    with explain_damage(file, WHAT):
        return list(sentences(facts))


def sentences(facts: Mapping[str, Any]) -> Iterator[str]:
    """The verdicts, and the accuracy if it was asked for."""
    stands = f"by {int(facts['labels'])} labels of {int(facts['samples'])} samples"
    error = f"error {float(facts['alpha']):g}"
    for pair in facts["pairs"]:
        low, high = (format_signed(100 * float(end)) for end in pair["gain"])
        gain = low if low == high else f"between {low} and {high}"
        yield (
            f"audited {stands} ({error}): {printable(pair['outcome'])} beside "
            f"{printable(pair['beside'])}, gain {gain} points"
        )
    if facts["accuracy"] is not None:
        low, high = (format_percent(float(end)) for end in facts["accuracy"])
        yield f"audited {stands} ({error}): accuracy between {low} and {high}"
