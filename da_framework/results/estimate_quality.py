"""How far estimates of accuracy without labels were off, where the labels are known."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple, cast

from da_framework.config.plugins import conf_dir
from da_framework.core.damage import read_json
from da_framework.core.errors import InputError
from da_framework.core.rounding import format_fixed, format_percent, format_signed
from da_framework.core.text import markdown_code
from da_framework.results.record_schema import RunRecord
from da_framework.results.statistics import accuracy_curve, figures_per_evaluation
from da_framework.results.validator_quality import checkpoints_by_task, render_choices

PREFIX = "estimate/"
RECORDED = ("digits", "amazon", "office")
"""The sweeps whose errors are quoted, of ``experiments/estimates``."""
AGREEMENT = "agreement.recorded.json"
"""The errors of ``gde`` there, which compares two runs."""
SOURCE = "source_accuracy"
"""The estimate of who makes none: the accuracy on held-out source samples."""
EVALUATIONS = ("first", "last")
"""Those of a run that errors are shown of: the first of the trained model, and the last."""


class EstimateError(NamedTuple):
    """How far an estimate was off in the mean over runs, in fractions of 1.

    Attributes:
        absolute: mean of the absolute errors.
        bias: mean of the errors; positive where the estimate is too high.
    """

    absolute: float
    bias: float


def accuracy_estimates(record: RunRecord) -> dict[str, list[float | None]]:
    """Each estimate of target accuracy at every evaluation; none where one was not made.

    Beside those of ``callback=[accuracy_estimators]`` stands the accuracy on the source.
    """
    if "estimates" in record:
        return dict(record["estimates"])
    estimates = figures_per_evaluation(record, PREFIX)
    source = figures_per_evaluation(record, "source/")
    return {**estimates, SOURCE: source["accuracy"]} if estimates and source else estimates


def errors_at(record: RunRecord, evaluation: str) -> dict[str, float]:
    """The signed error of each estimate, in fractions of 1; the untrained model is none of them."""
    curve = accuracy_curve(record)
    trained = [number for number, (step, _) in enumerate(curve) if step > 0]
    if not trained:
        return {}
    number = trained[0] if evaluation == "first" else trained[-1]
    return {
        name: value - curve[number][1]
        for name, values in accuracy_estimates(record).items()
        if (value := values[number]) is not None
    }


def estimate_errors(
    records: Sequence[RunRecord], evaluation: str
) -> dict[str, dict[str, EstimateError]]:
    """By estimator and method, the errors over all tasks and seeds."""
    errors: dict[str, dict[str, list[float]]] = {}
    for record in records:
        for name, error in errors_at(record, evaluation).items():
            errors.setdefault(name, {}).setdefault(record["choices"]["method"], []).append(error)
    return {
        name: {
            method: EstimateError(fmean(map(abs, values)), fmean(values))
            for method, values in by_method.items()
        }
        for name, by_method in errors.items()
    }


def recorded_errors() -> dict[str, dict[str, float]]:
    """The mean absolute error of each estimate after training, by estimator and method.

    In fractions of 1, over the pairs of domains and the seeds that our experiment ``estimates`` has
    recorded, as installed. A method that it does not have is not among them.
    """
    folder = conf_dir() / "experiments" / "estimates"
    what = "file of runs kept by da report --keep"
    records = [
        record
        for name in RECORDED
        for record in cast("list[RunRecord]", read_json(folder / f"{name}.recorded.json", what))
    ]
    agreement = cast("list[dict[str, Any]]", read_json(folder / AGREEMENT, "file of agreements"))
    return {
        name: {method: error.absolute for method, error in by_method.items()}
        for name, by_method in estimate_errors(records, "last").items()
    } | {"gde": mean_agreement_errors(agreement)}


def mean_agreement_errors(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The error of ``gde`` for each method, over all sweeps."""
    errors: dict[str, list[float]] = {}
    for row in rows:
        errors.setdefault(row["method"], []).append(row["absolute"])
    return {method: fmean(values) for method, values in errors.items()}


def render_estimates(records: Sequence[RunRecord]) -> str:
    """How far each estimate was off, and how well checkpoints would be chosen by it.

    Two tables: a row for each method and evaluation, then one for each task and estimator, as
    ``da report --validators`` has it.

    Raises:
        InputError: no run has estimates.
    """
    used = [record for record in records if errors_at(record, "last")]
    if not used:
        raise InputError(
            "no run here has estimates of accuracy, which callback=[accuracy_estimators] records, "
            "and target labels to judge them by"
        )
    errors = {evaluation: estimate_errors(used, evaluation) for evaluation in EVALUATIONS}
    names = sorted(errors["last"], key=lambda name: (name == SOURCE, name))
    heads = ["method", "evaluation", "accuracy", *(f"`{name}`" for name in names)]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for method in dict.fromkeys(record["choices"]["method"] for record in used):
        for evaluation in EVALUATIONS:
            accuracy = mean_accuracy_at(used, method, evaluation)
            cells = [format_error(errors[evaluation].get(name, {}), method) for name in names]
            label = markdown_code(method, in_table=True)
            head = [label, evaluation, format_percent(accuracy), *cells]
            lines.append(f"| {' | '.join(head)} |")
    return "\n".join(
        [
            *lines,
            "",
            f"Mean absolute error in points, in parentheses the mean error, over {len(used)} runs: "
            "positive where the estimate is too high. First: the first evaluation of the trained "
            f"model. `{SOURCE}`: the accuracy on held-out source samples.",
            "",
            render_choices(checkpoints_by_task(used, accuracy_estimates), "estimate"),
        ]
    )


def mean_accuracy_at(records: Sequence[RunRecord], method: str, evaluation: str) -> float:
    """Target accuracy of a method's runs at an evaluation."""
    curves = [accuracy_curve(r) for r in records if r["choices"]["method"] == method]
    trained = [[value for step, value in curve if step > 0] for curve in curves]
    return fmean(values[0] if evaluation == "first" else values[-1] for values in trained)


def format_error(errors: Mapping[str, EstimateError], method: str) -> str:
    """An error in points, as the table shows it."""
    if method not in errors:
        return "-"
    error = errors[method]
    return f"{format_fixed(100 * error.absolute)} ({format_signed(100 * error.bias)})"
