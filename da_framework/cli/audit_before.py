"""What an audit knows before any label: a shift, estimates, and how many labels it may take."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from da_framework.audit.pool import Pool
from da_framework.audit.simulation import foretell_labels
from da_framework.cli.shift import as_figures, describe, shares_table
from da_framework.config.plugins import conf_dir
from da_framework.core.errors import InputError
from da_framework.core.rounding import format_fixed, format_p, format_percent
from da_framework.core.text import printable
from da_framework.metrics.shift import FEWEST, examine_shift
from da_framework.results.estimate_quality import PREFIX, recorded_errors
from da_framework.results.folder import RunFolder
from da_framework.results.record_schema import Pick
from da_framework.results.statistics import named_figures


def find_audit_shift(pool: Pool) -> dict[str, Any]:
    """Whether source and target differ in the features of the first run, and how.

    The figures are those of ``da shift`` by its defaults; without two sides, ``missing`` says why.
    """
    try:
        sides = pool.sides()
    except InputError as error:
        return {"missing": str(error)}
    held, seen = len(sides.source.y), len(sides.target.y)
    if min(held, seen) < FEWEST:
        return {
            "missing": f"a test needs {FEWEST} samples of either side, and there are {held} of the "
            f"held-out source and {seen} of the target"
        }
    keys: Any = OmegaConf.load(conf_dir() / "shift.yaml")
    shift = examine_shift(
        sides.source, sides.target, permutations=keys.permutations, draws=keys.draws
    )
    right = (sides.source.logits.argmax(1) == sides.source.y).double().mean().item()
    found = {
        "source": list(sides.domains[0]),
        "target": list(sides.domains[1]),
        "features_of": pool.runs[0],
        "adapted": sides.adapted,
        "level": keys.level,
        "classes": list(sides.classes),
        "classifier_accuracy": right,
        **as_figures(shift, keys.level),
    }
    return {**found, "words": describe(found, level=False)}


def shift_lines(shift: dict[str, Any], *, name: str, table: bool) -> Iterator[Any]:
    """What is said of a shift.

    Args:
        shift: what was found.
        name: of the first run.
        table: whether class shares are shown.
    """
    if "missing" in shift:
        yield f"whether there is a shift is not known: {shift['missing']}"
        return
    tests = shift["tests"]
    yield (
        f"shift, in features of {printable(name)}: {shift['words']} (level {shift['level']:g}; "
        f"{' and '.join(map(str, tests['rows']))} samples are told apart at "
        f"{format_percent(tests['told_apart'])}, {format_p(tests['classifier_p'])}; "
        f"MMD, {format_p(tests['mmd_p'])})"
    )
    if shift["adapted"]:
        yield "  these features have learnt from the target: a shift that they hide is not seen"
    if table:
        yield shares_table(shift)


def find_estimates(pool: Pool, *, pick: Pick) -> list[dict[str, Any]]:
    """What runs have estimated of their accuracy without labels, and what that was off by.

    Of two runs that differ in the seed alone, ``gde`` is added: the share on which they agree.

    Args:
        pool: of the runs, whose names are their folders.
        pick: which of their weights.

    Returns:
        For each estimate ``run``, ``estimator``, ``value``, ``method`` and ``off_by``, the recorded
        mean absolute error of that estimator with that method; ``None`` where none is recorded.
    """
    errors = recorded_errors()
    records: list[Any] = [RunFolder(Path(run)).read_record() for run in pool.runs]
    found = []
    for number, (run, record) in enumerate(zip(pool.runs, records, strict=True)):
        if record is None:
            continue
        step = record["target"][pick].get("step")
        point = next((p for p in record.get("curve", ()) if p["step"] == step), None)
        method = record["choices"]["method"]
        estimates = named_figures(point, PREFIX) if point else {}
        twin = next((n for n, other in enumerate(records) if differ_in_seed(record, other)), None)
        if twin is not None:
            estimates["gde"] = 1 - pool.differ(number, twin) / pool.size
        for estimator, value in estimates.items():
            off_by = errors.get(estimator, {}).get(method)
            own = {"run": run, "estimator": estimator, "value": value}
            found.append({**own, "method": method, "off_by": off_by})
    return found


def differ_in_seed(one: Any, other: Any) -> bool:
    """Whether two records are of one method and config, and of two seeds."""
    if other is None or one["config"]["seed"] == other["config"]["seed"]:
        return False
    parts = ("method", "network", "dataset", "optimizer", "steps")
    return all(one["config"].get(part) == other["config"].get(part) for part in parts)


def estimate_lines(estimates: Sequence[dict[str, Any]], names: dict[str, str]) -> Iterator[str]:
    """Estimates in words, a line a run."""
    for run in dict.fromkeys(own["run"] for own in estimates):
        words = [
            f"{own['estimator']} {format_percent(own['value'])}"
            + (
                ""
                if own["off_by"] is None
                else f" (off by {format_fixed(100 * own['off_by'])} points for {own['method']})"
            )
            for own in estimates
            if own["run"] == run
        ]
        yield f"{printable(names[run])} by estimates that no label proves: {', '.join(words)}"


def foretell(pool: Pool, *, alpha: float) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """About how many labels a verdict on each pair takes, by the gain; none where all do not do."""
    return {
        (a, b): [
            {"gain": gain, "labels": labels}
            for gain, labels in foretell_labels(pool, a, b, alpha=alpha).items()
        ]
        for a, b in pool.pairs
    }


def foretold_words(foretold: Sequence[dict[str, Any]]) -> str:
    """How many labels a verdict takes, in words; empty where nothing can be said."""
    return ", ".join(
        f"{'more than there are' if own['labels'] is None else own['labels']} if the gain is "
        f"{format_fixed(100 * own['gain'], 0)} points"
        for own in foretold
    )
