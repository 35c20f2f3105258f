"""The types of a run's record: what training writes, what reports read, and what is checked.

A key that not every record has is ``NotRequired``: older versions wrote fewer, and what
``da report --keep`` writes leaves out what belongs to a single run.
"""

from functools import cache
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BeforeValidator, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from da_framework.core.types import Share

Pick = Literal["last", "chosen", "oracle"]
"""The evaluations that results show: of the last step, chosen by the validator, and the best by
target labels."""
Measure = Literal["accuracy", "balanced_accuracy", "macro_precision", "macro_f1"]
"""Of predictions on a domain; fractions of 1, all but accuracy as means over classes:
``metrics.classification.metrics`` defines them."""


class Choices(TypedDict):
    """The names by which the parts of a run were chosen, by config group."""

    method: str
    dataset: NotRequired[str | None]
    network: NotRequired[str | None]
    validator: NotRequired[str | None]


class RunConfig(TypedDict):
    """The resolved config of a run, of which these keys are read."""

    seed: int
    method: NotRequired[dict[str, Any]]
    dataset: NotRequired[dict[str, Any]]
    network: NotRequired[dict[str, Any]]
    validator: NotRequired[dict[str, Any]]


class DomainNames(TypedDict):
    """The names of the domains on either side."""

    source: list[str]
    target: list[str]


class DomainFigures(TypedDict):
    """Metrics of predictions on one side, as fractions of 1; ``None`` where one is not defined.

    ``rows`` counts the samples whose label is known; where there are none, no metric is there.
    Older records have no ``rows_per_class``, and ``recall``, the macro recall in which a class that
    is predicted and has no sample counts as 0, in the place of ``balanced_accuracy``.
    """

    accuracy: NotRequired[Share]
    balanced_accuracy: NotRequired[float]
    macro_precision: NotRequired[float]
    macro_f1: NotRequired[float]
    calibration_error: NotRequired[float | None]
    precision_per_class: NotRequired[list[float | None]]
    recall_per_class: NotRequired[list[float | None]]
    f1_per_class: NotRequired[list[float | None]]
    rows_per_class: NotRequired[list[int]]
    rows: NotRequired[int]
    mmd: NotRequired[float]
    open_set: NotRequired[dict[str, float]]
    domains: NotRequired[dict[str, Any]]


class EvaluationFigures(TypedDict):
    """One evaluation while training: the validator's score if finite, metrics of both sides."""

    step: int
    score: float | None
    target: DomainFigures
    source: NotRequired[DomainFigures]


class TargetFigures(DomainFigures):
    """A picked evaluation as the record holds it: step, score, and metrics on the target."""

    step: NotRequired[int]
    score: NotRequired[float | None]


class Picks(TypedDict):
    """The three evaluations that are reported.

    None is chosen where no score is finite, and there is no oracle where no label is known.
    """

    last: TargetFigures
    chosen: NotRequired[TargetFigures]
    oracle: NotRequired[TargetFigures]


CurvePoint = TypedDict(
    "CurvePoint",
    {
        "step": int,
        "score": NotRequired[float],
        "oracle/accuracy": NotRequired[float],
        "source/accuracy": NotRequired[float],
        "domains/mmd": NotRequired[float],
    },
)
"""A point of the curve: the figures of an evaluation by name, ``train/``, ``diagnosis/``,
``validator/`` and ``estimate/`` ones among them."""


def check_figures(point: Any) -> Any:
    """What may be a point of the curve: its figures are numbers, or null where there is none.

    Raises:
        ValueError: one is something else.
    """
    for name, value in point.items() if isinstance(point, dict) else ():
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise ValueError(f"{name} is no number")
    return point


class Verdict(TypedDict):
    """What was ill, the step it was first seen at, and words for a person."""

    kind: NotRequired[str]
    step: int
    words: str


class Seconds(TypedDict, total=False):
    """How long a run took: training alone, all of it by the clock, and processor time."""

    training: float
    all: float
    cpu: float


class Environment(TypedDict):
    """Versions of libraries, and the machine: what a number hangs on beside config, code and data.

    ``threads`` are those of an operation, ``interop_threads`` operations at a time. ``gpu`` and
    ``peak_gpu_memory_mib``, of tensors, are there where a GPU was trained on.
    """

    versions: dict[str, str]
    platform: NotRequired[str]
    cpus: NotRequired[int | None]
    device: NotRequired[str]
    threads: NotRequired[int]
    interop_threads: NotRequired[int]
    gpu: NotRequired[str]
    peak_gpu_memory_mib: NotRequired[float]


class RunOutcome(TypedDict):
    """The part of a record that a trained run adds: its figures, and what they stand on.

    ``selection`` says what each of the picks was chosen by, where choosing never sees the target.
    """

    baseline: NotRequired[bool]
    selection: NotRequired[dict[str, str]]
    domains: DomainNames
    classes: NotRequired[list[str]]
    rows: NotRequired[dict[str, int]]
    skipped: NotRequired[dict[str, Any]]
    audited: NotRequired[list[str]]
    audited_content: NotRequired[list[str]]
    environment: Environment
    steps: NotRequired[int]
    peak_memory_mib: NotRequired[float]
    target: Picks
    source: NotRequired[dict[str, DomainFigures]]
    curve: NotRequired[list[Annotated[CurvePoint, BeforeValidator(check_figures)]]]
    verdicts: NotRequired[list[Verdict]]
    note: NotRequired[str]


class TrainedRecord(RunOutcome):
    """The record as training writes it.

    ``peak_memory_mib`` is the most that the process held while the run lasted, what earlier jobs
    have left in it included; where the system does not measure anew (``peak_memory_of`` is
    ``process``), the most since it began.
    """

    key: NotRequired[str]
    command: str
    choices: Choices
    config: RunConfig
    data: NotRequired[dict[str, str]]
    inputs: NotRequired[dict[str, Any]]
    licences: NotRequired[dict[str, str]]
    code: str
    seconds: Seconds
    finished: NotRequired[str]
    peak_memory_of: NotRequired[Literal["run", "process"]]


class RunRecord(TrainedRecord):
    """The record of a finished run, as it is read.

    In records that ``da report --keep`` wrote, ``readings`` (step and target accuracy of each
    evaluation), ``diagnosis``, ``scores`` (by validator) and ``estimates`` (by estimator of
    accuracy) stand in place of the curve; ``folder`` is where a record was read.
    """

    readings: NotRequired[list[list[float]]]
    diagnosis: NotRequired[dict[str, float]]
    scores: NotRequired[dict[str, list[float | None]]]
    estimates: NotRequired[dict[str, list[float | None]]]
    folder: NotRequired[str]


def schema_error(record: Any) -> str:
    """The first key of this that no record has so, in words; empty if it is a record."""
    return first_violation(schema(), record)


def first_violation(schema: Any, node: Any) -> str:
    """The first key of a node that is not as a schema has it, in words; empty if all are."""
    try:
        schema.validate_python(node, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg'][0].lower()}{first['msg'][1:]}"
    return ""


@cache
def schema() -> Any:
    """Validates records."""
    return TypeAdapter(RunRecord)
