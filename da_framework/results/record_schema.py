"""What every record of a finished run has, whatever else it has."""

from functools import cache
from typing import Any, NotRequired

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from da_framework.core.types import Share
from da_framework.results.statistics import cell_of, setting_of


class Choices(TypedDict):
    """Names of parts."""

    method: str


class Config(TypedDict):
    """Resolved."""

    seed: int


class Sides(TypedDict):
    """The names of domains."""

    source: list[str]
    target: list[str]


class Figures(TypedDict):
    """Of a step on the target."""

    accuracy: Share


class Picks(TypedDict):
    """The three steps that are reported."""

    last: Figures
    chosen: Figures
    oracle: Figures


class Environment(TypedDict):
    """Of the machine."""

    versions: dict[str, str]


class Reading(TypedDict):
    """Of the curve."""

    step: int


class RunRecord(TypedDict):
    """What all records of runs have, whatever else they have."""

    command: str
    choices: Choices
    config: Config
    domains: Sides
    target: Picks
    seconds: dict[str, float]
    code: str
    environment: Environment
    curve: NotRequired[list[Reading]]
    verdicts: NotRequired[list[dict[str, Any]]]


def schema_error(record: Any) -> str:
    """What of this is unlike a record, in words; empty if nothing is."""
    try:
        schema().validate_python(record, strict=True)
        cell_of(record)
        setting_of(record)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg'][0].lower()}{first['msg'][1:]}"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@cache
def schema() -> Any:
    """Holds records against this."""
    return TypeAdapter(RunRecord)
