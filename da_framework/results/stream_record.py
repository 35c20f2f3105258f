"""The record of a stream: what is written, what is checked when it is read."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from da_framework.core.damage import explain_damage, is_there, read_json
from da_framework.core.files import write_text
from da_framework.core.types import Index, NonNegative, Share
from da_framework.results.record_schema import Environment, first_violation

RESULT = "stream.json"
WHAT = "record of a stream"


class TimePoint(TypedDict):
    """Accuracy of a stretch of the stream, and of all before its end; null without labels."""

    samples: Index
    accuracy: Share | None
    cumulative: Share | None


class StageFigures(TypedDict):
    """A domain with a corruption: its samples, those with a label, and their accuracy."""

    domain: str
    corruption: str | None
    samples: Index
    labelled: Index
    accuracy: Share | None


class SourceFigures(TypedDict):
    """Held-out source: accuracy of the source model and, after the stream, of the method."""

    samples: Index
    before: Share
    after: Share
    forgetting: float


class ResetNote(TypedDict):
    """When a method was reset, in samples of the stream, and why."""

    sample: Index
    reason: str


class StreamRecord(TypedDict):
    """What came of a stream.

    ``accuracy`` is that of the predictions that were given, each before its batch was learnt from;
    ``end`` of the last tenth of the stream. Both are null where no label is known.
    """

    key: str
    run: str
    pick: Literal["last", "chosen"]
    method: str
    config: dict[str, Any]
    domains: list[str]
    classes: list[str]
    order: str
    corruption: list[str]
    severity: Index
    batch_size: Index
    seed: Index
    samples: Index
    labelled: Index
    accuracy: Share | None
    end: Share | None
    curve: list[TimePoint]
    stages: list[StageFigures]
    source: SourceFigures | None
    mean_entropy: NonNegative
    resets: list[ResetNote]
    guarded: bool
    seconds: NonNegative
    seconds_per_sample: NonNegative
    memory_mib: NonNegative
    memory_per_sample_mib: NonNegative
    environment: Environment
    data: dict[str, str]
    finished: NotRequired[str]


def write_stream(folder: Path, record: StreamRecord) -> None:
    """Writes the record, whole or not at all."""
    write_text(folder / RESULT, json.dumps(record, indent=1, allow_nan=False) + "\n")


def read_stream(folder: Path) -> StreamRecord | None:
    """The record in a folder; none if there is none.

    Raises:
        InputError: the file is damaged.
    """
    file = folder / RESULT
    if not is_there(file):
        return None
    node: Any = read_json(file, WHAT)
    with explain_damage(file, WHAT):
        if reason := schema_error(node):
            raise ValueError(reason)
    record: StreamRecord = node
    return record


def schema_error(record: Any) -> str:
    """The first key that no record of a stream has so, in words; empty if it is one."""
    return first_violation(schema(), record)


@cache
def schema() -> Any:
    """Validates records."""
    return TypeAdapter(StreamRecord)


def stages_of(
    stages: Mapping[int, tuple[str, str | None]],
    stage: list[int],
    correct: Mapping[int, bool],
) -> list[StageFigures]:
    """Figures of each stage of a stream.

    Args:
        stages: domain and corruption of each.
        stage: of every sample.
        correct: of each sample whose label is known, by its place.
    """
    figures: list[StageFigures] = []
    for number, (domain, corruption) in sorted(stages.items()):
        places = [place for place, own in enumerate(stage) if own == number]
        known = [correct[place] for place in places if place in correct]
        figures.append(
            {
                "domain": domain,
                "corruption": corruption,
                "samples": len(places),
                "labelled": len(known),
                "accuracy": sum(known) / len(known) if known else None,
            }
        )
    return figures
