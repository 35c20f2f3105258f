"""The journal of a search: the entries that ours has, and what is sound of a damaged one."""

import json
from datetime import datetime
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from da_framework.core.damage import is_there, read_bytes
from da_framework.core.files import atomic_write
from da_framework.core.types import Finite, Index

JOURNAL = "journal of a search"


def check_time(text: str) -> str:
    """A point in time.

    Raises:
        ValueError: it is none.
    """
    datetime.fromisoformat(text)
    return text


Time = Annotated[str, AfterValidator(check_time)]
Few = Annotated[list[Finite], Field(max_length=1)]


class What(TypedDict):
    """What is searched: the words of the command."""

    what: list[str]


class Begun(TypedDict):
    """How often a trial has begun without an end."""

    begun: Literal[0, 1, 2]


class StudyBegun(TypedDict):
    """The first entry: the study, whose values are to be large."""

    op_code: Literal[0]
    worker_id: str
    study_name: Literal["search"]
    directions: Annotated[list[Literal[2]], Field(min_length=1, max_length=1)]


class StudyTold(TypedDict):
    """What is searched."""

    op_code: Literal[2]
    worker_id: str
    study_id: Literal[0]
    user_attr: What


class TrialBegun(TypedDict):
    """A trial, whose number is that of those before it."""

    op_code: Literal[4]
    worker_id: str
    study_id: Literal[0]
    datetime_start: Time


class TrialValue(TypedDict):
    """The value of a key in a trial."""

    op_code: Literal[5]
    worker_id: str
    trial_id: Index
    param_name: str
    param_value_internal: Finite
    distribution: str


class TrialEnded(TypedDict):
    """How a trial ended: done, or pruned."""

    op_code: Literal[6]
    worker_id: str
    trial_id: Index
    state: Literal[1, 2]
    values: Few | None
    datetime_complete: Time


class TrialEvaluated(TypedDict):
    """What an evaluation of a trial was worth."""

    op_code: Literal[7]
    worker_id: str
    trial_id: Index
    step: Index
    intermediate_value: Finite


class TrialTold(TypedDict):
    """Whether a trial runs."""

    op_code: Literal[8]
    worker_id: str
    trial_id: Index
    user_attr: Begun


Entry = Annotated[
    StudyBegun | StudyTold | TrialBegun | TrialValue | TrialEnded | TrialEvaluated | TrialTold,
    Field(discriminator="op_code"),
]


@cache
def entry_reader() -> Any:
    """That checks an entry."""
    return TypeAdapter(Entry)


def is_entry(line: bytes) -> bool:
    """Whether a line is a whole entry of a journal of ours."""
    try:
        entry_reader().validate_python(json.loads(line), strict=True)
    except (ValueError, RecursionError, ValidationError):
        return False
    return line.endswith(b"\n")


def mend_journal(journal: Path) -> None:
    """Begins a journal, or cuts it before the first line that is damaged.

    What followed is told once more: the trials that were run are in their folders.
    """
    content = read_bytes(journal, JOURNAL) if is_there(journal) else b""
    sound = b"".join([*takewhile(is_entry, content.splitlines(keepends=True))])
    if not journal.is_file() or sound != content:
        with atomic_write(journal) as partial:
            partial.write_bytes(sound)
    if content[len(sound) :].count(b"\n"):
        print(f"warning: {journal} is damaged; trials that it has lost are looked up")
