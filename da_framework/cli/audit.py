"""``da audit``: which of several runs is better on a target, by a few labels that it asks for."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from rich.table import Table

from da_framework.audit.betting import Verdict
from da_framework.audit.page import write_label_page, write_page, write_sheet
from da_framework.audit.pool import UNKNOWN, Pool
from da_framework.audit.questions import MEND, QUESTIONS, STATE, WHAT, Questions
from da_framework.audit.simulation import Simulated, simulate_pair
from da_framework.audit.verdicts import Findings, answered_prefix, error_shares, find_verdicts
from da_framework.cli.audit_before import (
    estimate_lines,
    find_audit_shift,
    find_estimates,
    foretell,
    foretold_words,
    shift_lines,
)
from da_framework.config.schema import check_config, to_plain
from da_framework.core.damage import explain_damage, read_json
from da_framework.core.errors import InputError
from da_framework.core.files import run_lock
from da_framework.core.rounding import format_percent, format_signed
from da_framework.core.terminal import open_console
from da_framework.core.text import printable
from da_framework.core.types import Count, Index
from da_framework.datasets.answers import CANNOT_TELL
from da_framework.results.folder import RunFolder
from da_framework.results.model_card import write_verified_part
from da_framework.results.verified import verified_summary, weights_hash, write_verified
from da_framework.training.audit_pool import gather_pool
from da_framework.training.run_log import log_verified

log = logging.getLogger(__name__)

Foretold = Mapping[tuple[int, int], Sequence[dict[str, Any]]]
"""Labels until a verdict on each pair, by the gain."""

LABEL_PAGE, SHEET, PAGE = "label.html", "questions.png", "audit.html"


@dataclass(frozen=True)
class AuditSettings:
    """The keys of ``conf/audit.yaml``."""

    run: Annotated[list[str], Field(min_length=2)]
    pick: Literal["last", "chosen"]
    dataset: dict[str, Any]
    out: str
    ask: Index
    labels: str | None
    alpha: Annotated[float, Field(ge=1e-12, lt=1)]
    accuracy: bool
    seed: Index
    simulate: bool
    orders: Count
    data_dir: str | None
    trust: list[Any]


def main(config: Any) -> None:
    """Asks, takes answers and says what they say.

    Args:
        config: of ``conf/audit.yaml``.

    Raises:
        InputError: runs or samples are not there, or a file holds no answers to these questions.
    """
    config = to_plain(config)
    # another data set's config is not built from, and so need not be whole
    known = {**config, "dataset": {"root": config["dataset"].get("root")}}
    settings = AuditSettings(**{**check_config(known, AuditSettings), "dataset": config["dataset"]})
    pool = gather_pool(
        settings.run,
        pick=settings.pick,
        dataset=settings.dataset,
        data_dir=settings.data_dir,
        trust=settings.trust,
    )
    if settings.simulate:
        simulate(pool, settings)
    else:
        with run_lock(Path(settings.out), key="out"):
            audit(pool, settings)


def audit(pool: Pool, settings: AuditSettings) -> None:
    """One step of an audit: questions, answers, verdicts; all of it is kept."""
    folder = Path(settings.out)
    about = {
        "runs": list(settings.run),
        "samples": pool.digest,
        "weights": [weights_hash(Path(run), settings.pick) for run in settings.run],
        "pick": settings.pick,
        "alpha": settings.alpha,
        "accuracy": settings.accuracy,
        "seed": settings.seed,
    }
    pool = recall_answers(pool, folder, about)
    order = pool.order(settings.seed, accuracy=settings.accuracy)
    questions = Questions.open(folder, about, order, len(pool.classes))
    # what was written into the questions is never lost, though nobody names the file
    if (folder / QUESTIONS).is_file():
        questions.read(folder / QUESTIONS, pool)
    if settings.labels is not None:
        questions.read(Path(settings.labels), pool)
    questions.ask(settings.ask)
    samples, labels = answered_prefix(order, questions.answers)
    findings = find_verdicts(
        pool, samples, labels, alpha=settings.alpha, accuracy=settings.accuracy
    )
    before: dict[str, Any] = {
        "shift": find_audit_shift(pool),
        "estimates": find_estimates(pool, pick=settings.pick),
    }
    foretold = foretell(pool, alpha=findings.level)
    questions.write(pool, {**facts_of(pool, findings, foretold), **before})
    if findings.labels:
        keep_verified(pool, findings, settings)
    write_label_page(folder / LABEL_PAGE, pool, questions)
    write_sheet(folder / SHEET, pool, questions)
    write_page(folder / PAGE, pool, questions, findings, before={**before, "foretold": foretold})
    names = pool.short_names
    console = open_console()
    for line in (
        *shift_lines(before["shift"], name=names[0], table=not findings.labels),
        *estimate_lines(before["estimates"], dict(zip(pool.runs, names, strict=True))),
        *lines_of(pool, findings, questions, settings, foretold),
    ):
        console.print(line, soft_wrap=True)


def recall_answers(pool: Pool, folder: Path, about: Mapping[str, Any]) -> Pool:
    """The answers that an audit has begun with, where it goes on.

    The same weights may answer a few samples otherwise on another machine; what was asked, and
    what a verdict is about, are the answers that were there when the first question was drawn.

    Raises:
        InputError: the record of the audit is damaged.
    """
    file = folder / STATE
    if not file.is_file():
        return pool
    state: Any = read_json(file, WHAT)
    with explain_damage(file, WHAT, mend=MEND):
        if state["about"] != about or not state["asked"]:
            return pool
        begun = pool.with_answers(state["predictions"])
    if count := int((begun.answers != pool.answers).any(0).sum()):
        log.warning(
            "%d of %d samples are answered otherwise here than where the audit began (another "
            "machine?): it goes on with the answers that it began with",
            *(count, pool.size),
        )
    return begun


def facts_of(pool: Pool, findings: Findings, foretold: Foretold) -> dict[str, Any]:
    """What is known, as ``audit.json`` has it."""
    intervals = findings.accuracy
    return {
        "labels": findings.labels,
        "pool": pool.size,
        "deciding": len(pool.deciding),
        "predictions": pool.write_answers(),
        "pairs": [
            {"run": pool.runs[a], "beside": pool.runs[b], **verdict.facts()}
            | {"foretold": foretold[a, b]}
            for (a, b), verdict in findings.pairs.items()
        ],
        "best": None if findings.best is None else pool.runs[findings.best],
        "may_be_best": [pool.runs[run] for run in findings.left],
        "accuracy": None
        if intervals is None
        else {run: list(ends) for run, ends in zip(pool.runs, intervals, strict=True)},
    }


def keep_verified(pool: Pool, findings: Findings, settings: AuditSettings) -> None:
    """Writes what was found beside the record of every run."""
    for number, run in enumerate(pool.runs):
        seen = [
            (pool.runs[b if number == a else a], verdict.seen_from(1 if number == a else -1))
            for (a, b), verdict in findings.pairs.items()
            if number in (a, b)
        ]
        facts = {
            "samples": pool.size,
            "digest": pool.digest,
            "pick": settings.pick,
            "labels": findings.labels,
            "alpha": findings.alpha,
            "pairs": [{"beside": other, **verdict.facts()} for other, verdict in seen],
            "accuracy": None if findings.accuracy is None else list(findings.accuracy[number]),
        }
        try:
            if write_verified(Path(run), facts):
                write_verified_part(Path(run))
                log_verified(RunFolder(Path(run)), verified_summary(facts))
        except OSError as error:  # somebody else's folder
            log.warning("%s: the verdict is not kept there (%s)", run, error.strerror)


def lines_of(
    pool: Pool,
    findings: Findings,
    questions: Questions,
    settings: AuditSettings,
    foretold: Foretold,
) -> Iterator[Any]:
    """What is said of an audit."""
    names = pool.short_names
    differ = len(pool.deciding)
    yield f"{pool.size} samples; not all runs agree on {differ} ({share(differ, pool.size)})"
    if not differ:
        yield "there is nothing to decide: all runs give the same answers"
    else:
        yield verdict_table(pool, findings, names)
    if differ and len(pool.runs) > 2:
        yield best_line(findings, names)
    for (a, b), verdict in findings.pairs.items():
        if verdict.outcome == "undecided":
            yield from undecided_lines(pool, a, b, names, foretold[a, b])
    if findings.accuracy:
        for name, (low, high) in zip(names, findings.accuracy, strict=True):
            yield f"accuracy of {name}: between {format_percent(low)} and {format_percent(high)}"
    unknown = sum(
        label == UNKNOWN
        for question, label in questions.answers.items()
        if question <= findings.labels
    )
    if unknown:
        yield f"{unknown} of {findings.labels} answers are {CANNOT_TELL!r}: right for no run"
    late = sum(question > findings.labels for question in questions.answers)
    if late:
        yield (
            f"{late} answers wait: question {findings.labels + 1} comes before them, and answers "
            "count in the order drawn"
        )
    waiting = questions.asked - len(questions.answers)
    if waiting:
        yield (
            f"{waiting} questions wait: open {Path(settings.out) / LABEL_PAGE}, or write into "
            f"{Path(settings.out) / QUESTIONS}; the same command goes on"
        )
    elif questions.asked < len(questions.order) and not is_settled(findings):
        yield "ask=25 asks for the labels of 25 samples"
    yield f"page: {Path(settings.out) / PAGE}"


def is_settled(findings: Findings) -> bool:
    """Whether further answers could say no more: every verdict is there, and no accuracy asked."""
    undecided = any(verdict.outcome == "undecided" for verdict in findings.pairs.values())
    return not undecided and findings.accuracy is None


def verdict_table(pool: Pool, findings: Findings, names: Sequence[str]) -> Table:
    """The verdict on every pair."""
    table = Table(title=f"verdicts, wrong with probability {findings.alpha:g} at most")
    for column in ("run", "beside", "differ on", "labels", "gain in points", "verdict"):
        table.add_column(column, justify="left" if column in ("run", "beside") else "right")
    for (a, b), verdict in findings.pairs.items():
        table.add_row(
            printable(names[a]),
            printable(names[b]),
            f"{verdict.differ} ({share(verdict.differ, pool.size)})",
            str(verdict.labels),
            gain_text(verdict),
            verdict.outcome,
        )
    return table


def gain_text(verdict: Verdict) -> str:
    """The interval of a gain, in points."""
    low, high = (format_signed(100 * end) for end in (verdict.low, verdict.high))
    return low if low == high else f"{low} to {high}"


def undecided_lines(
    pool: Pool, a: int, b: int, names: Sequence[str], foretold: Sequence[dict[str, Any]]
) -> Iterator[str]:
    """Where two runs differ, and about how many labels would decide."""
    often = ", ".join(
        f"{printable(one)} for {printable(other)} ({count})"
        for one, other, count in pool.commonest_differences(a, b)
    )
    yield f"{printable(names[a])} says, for what {printable(names[b])} says: {often}"
    if words := foretold_words(foretold):
        yield f"  labels until a verdict, about: {words}"


def best_line(findings: Findings, names: Sequence[str]) -> str:
    """Which run is the best, or which may be."""
    if findings.best is not None:
        return f"the best is {printable(names[findings.best])}"
    return f"the best is one of {', '.join(printable(names[run]) for run in findings.left)}"


def simulate(pool: Pool, settings: AuditSettings) -> None:
    """Prints how many labels verdicts take, by the true labels.

    Raises:
        InputError: some sample has no label.
    """
    if (pool.labels < 0).any():
        raise InputError(
            f"simulate=true needs the true labels: {int((pool.labels < 0).sum())} of {pool.size} "
            "samples have none that a run knows"
        )
    table = Table(title=f"labels until a verdict, over {settings.orders} orders")
    names = pool.short_names
    columns = ("gain", "differ on", "median", "9 of 10", "random, median", "wrong", "undecided")
    for column in ("run", "beside", *columns):
        table.add_column(column, justify="left" if column in ("run", "beside") else "right")
    for a, b in pool.pairs:
        found = simulate_pair(
            *(pool, a, b),
            alpha=error_shares(len(pool.runs), alpha=settings.alpha, accuracy=False)[0],
            orders=settings.orders,
            seed=settings.seed,
        )
        table.add_row(printable(names[a]), printable(names[b]), *simulated_cells(found, pool))
    open_console().print(table)


def simulated_cells(found: Simulated, pool: Pool) -> list[str]:
    """A row of the table of a simulation."""
    numbers = (found.median, found.most, found.random)
    return [
        format_signed(100 * found.gain),
        f"{found.differ} ({share(found.differ, pool.size)})",
        *("-" if number is None else str(number) for number in numbers),
        format_percent(found.wrong),
        format_percent(found.undecided),
    ]


def share(part: int, whole: int) -> str:
    """A part of a whole, in percent."""
    return format_percent(part / whole) if whole else "0%"
