"""What an audit has found of a run: the one number on a target that labels stand behind."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from da_framework.core.damage import explain_damage, is_there, read_json
from da_framework.core.files import file_sha256, write_text
from da_framework.core.rounding import format_fixed, format_percent, format_signed
from da_framework.core.text import printable
from da_framework.results.folder import RunFolder

WHAT = "verdict of an audit"
VOID = "audited, but of other weights than are here now, so it says nothing of them: da audit again"


class Verified(NamedTuple):
    """What an audit has found of a run, in words.

    Attributes:
        brief: for a cell of a table.
        sentences: all of it.
    """

    brief: str
    sentences: tuple[str, ...]


def write_verified(folder: Path, facts: Mapping[str, Any]) -> bool:
    """Writes what an audit has found beside a run's record, in the place of what an earlier did.

    Returns:
        Whether it is news.
    """
    file = RunFolder(folder).verified
    about = {"weights": weights_hash(folder, str(facts["pick"]))}
    text = json.dumps({**about, **facts}, indent=1, allow_nan=False) + "\n"
    if file.is_file() and file.read_bytes() == text.encode():
        return False
    write_text(file, text)
    return True


def weights_hash(folder: Path, pick: str) -> str | None:
    """A hash of the weights that a verdict is about; none where they are not there."""
    weights = RunFolder(folder).checkpoint(pick)
    return file_sha256(weights)[:16] if weights.is_file() else None


def read_verified(folder: Path) -> Verified | None:
    """What an audit has found of a run; none where there was none.

    Of other weights than are there now, it is said to be void.

    Raises:
        InputError: the file is damaged.
    """
    file = RunFolder(folder).verified
    if not is_there(file):
        return None
    facts: Any = read_json(file, WHAT)
    with explain_damage(file, WHAT):
        found = Verified(brief_facts(facts), tuple(describe_facts(facts)))
        if facts["pick"] not in ("last", "chosen"):  # it becomes part of a path
            raise ValueError("its pick is none")
        here = weights_hash(folder, facts["pick"])
        # weights that were removed to save space are no others
        return Verified("void", (VOID,)) if here not in (None, facts["weights"]) else found


def brief_facts(facts: Mapping[str, Any]) -> str:
    """What fits a cell of a table: the accuracy, in percent, or else the verdicts."""
    if facts["accuracy"] is not None:
        return " to ".join(format_fixed(100 * float(end)) for end in facts["accuracy"])
    return brief_verdicts(facts)


def brief_verdicts(facts: Mapping[str, Any]) -> str:
    """The verdicts in few words."""
    return ", ".join(
        f"{printable(pair['outcome'])} beside {printable(Path(pair['beside']).name)}"
        for pair in facts["pairs"]
    )


def describe_facts(facts: Mapping[str, Any]) -> Iterator[str]:
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


def verified_summary(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The same as loggers take it, by names that are always the same; fractions of 1.

    The gain is that beside the one other run, if there is no more than one.
    """
    gains = [pair["gain"] for pair in facts["pairs"]]
    ends = {"accuracy": facts["accuracy"], "gain": gains[0] if len(gains) == 1 else None}
    return {
        "verified/verdict": brief_verdicts(facts),
        "verified/labels": facts["labels"],
        **{
            f"verified/{name}/{end}": value
            for name, values in ends.items()
            for end, value in zip(("low", "high"), values or (None, None), strict=True)
        },
    }
