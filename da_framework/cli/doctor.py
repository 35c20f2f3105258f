"""``da doctor``: whether a finished run aligned its domains, in plain words, and what to try."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from da_framework.cli.arguments import ArgumentParser
from da_framework.core.damage import explain_damage, is_there, read_each, read_text
from da_framework.core.errors import InputError
from da_framework.core.labels import LABELLED_ROLES
from da_framework.core.rounding import format_fixed, format_percent
from da_framework.core.terminal import open_console
from da_framework.core.text import printable
from da_framework.results.cells import sides
from da_framework.results.folder import RESULT, RunFolder
from da_framework.results.record_schema import RunRecord
from da_framework.results.statistics import NO_LABELS
from da_framework.results.verified import read_verified

CHANCE = 0.6
"""Accuracy of a linear classifier up to which domains count as not told apart."""
FALL = 0.1
"""By how much it falls at least where a method brought the domains nearer."""
SHRUNK = 0.2
"""Share of the untrained features' MMD² down to which it falls there: in many dimensions, a linear
classifier finds something long after kernels, which weigh all of a feature, see hardly anything."""
WEAK = 0.01
"""Of the added terms' gradient, relative to the labels': it can hardly move anything."""
GAP = 0.02
"""Of accuracy, between the chosen and the best checkpoint, that is worth a word."""


def diagnose(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is to be said of a run, each with what to try; that is empty where nothing is wrong."""
    for verdict in record.get("verdicts", ()):
        yield f"step {verdict['step']}: {printable(verdict['words'])}", ""
    yield from diagnose_alignment(record)
    yield from diagnose_choice(record)


def diagnose_alignment(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Whether the domains came together."""
    accuracies = curve_column(record, "diagnosis/domain_accuracy")
    if len(accuracies) < 2:
        yield (
            "nothing was read of how far apart the domains are: the run had no source, or no "
            "callback=diagnostics",
            "",
        )
        return
    first, last = accuracies[0], accuracies[-1]
    ended, begun = (format_percent(accuracy, 0) for accuracy in (last, first))
    told = f"a linear classifier tells them apart with {ended} accuracy, {begun} untrained"
    mmd = curve_column(record, "domains/mmd")
    told += f"; MMD² {mmd[0]:.2g} -> {mmd[-1]:.2g}" if mmd else ""
    nearer = first - last >= FALL or (bool(mmd) and mmd[-1] <= SHRUNK * mmd[0])
    source = [own["accuracy"] for own in record.get("source", {}).values()]
    if first <= CHANCE and last <= CHANCE:
        yield (
            f"there was hardly a shift that features show ({told}): nothing to align",
            "what is lost on the target may be in the labels: few classes, or other shares of them",
        )
    elif last <= CHANCE:
        yield f"the domains came together: {told}", ""
        if source and source[0] < 0.5:
            yield (
                f"held-out source accuracy is only {format_percent(source[0], 0)}",
                f"lower {' or '.join(knobs(record)) or 'the steps'}: features that are alike are "
                "of use if they tell classes",
            )
    elif nearer and not record.get("baseline"):
        yield (
            f"the domains came nearer, but are told apart still: {told}",
            f"{more(record)}, as long as the source accuracy holds",
        )
    else:
        yield f"the domains did not come together: {told}", suggest_alignment(record)


def suggest_alignment(record: Mapping[str, Any]) -> str:
    """What to try where domains stayed apart."""
    ratios = curve_column(record, "diagnosis/gradient_ratio")
    if record.get("baseline"):
        return "this method does not adapt; da list shows those that do"
    if not ratios:
        return "the method adds no term that labels are weighed against; da list shows others"
    if max(ratios) < WEAK:
        return (
            f"what the method adds pulls {max(ratios):.1g} times as hard on the encoder as the "
            "labels do, which is next to nothing: "
            f"{'raise ' + ' or '.join(knobs(record)) if knobs(record) else 'more steps'}"
        )
    return (
        f"what the method adds does pull on the encoder ({ratios[-1]:.2g} times as hard as the "
        f"labels): {more(record)}, or a method that sees this shift"
    )


def more(record: Mapping[str, Any]) -> str:
    """How there is more of what a method does, by keys that it has."""
    return ", or ".join(["more steps", *(f"a larger {knob}" for knob in knobs(record)[:1])])


def knobs(record: Mapping[str, Any]) -> list[str]:
    """The keys by which a method weighs what it adds."""
    keys = record.get("config", {}).get("method", {})
    return [f"method.{name}" for name in ("weight", "coefficient") if name in keys]


def diagnose_choice(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was chosen, and what target labels say of it: that is said, but nothing advised."""
    target = record["target"]
    last, chosen, oracle = (target.get(pick) for pick in ("last", "chosen", "oracle"))
    if chosen is None:
        yield (
            f"nothing was chosen: no score of {record['choices'].get('validator')} is finite",
            "another validator: da list shows them",
        )
    if "accuracy" not in last:
        yield f"target accuracy: {NO_LABELS}", ""
        return
    accuracies = [
        f"{pick} {format_percent(figures['accuracy'])}" for pick, figures in target.items()
    ]
    yield f"target accuracy: {', '.join(accuracies)} (which target labels alone could find)", ""
    # no advice follows: who acts on target labels has tuned on them
    if chosen and (lost := oracle["accuracy"] - chosen["accuracy"]) > GAP:
        cost = f"the validator's choice cost {format_fixed(100 * lost)} points"
        yield f"by target labels alone: {cost}", ""
    if oracle["accuracy"] - last["accuracy"] > GAP and oracle["step"] < last["step"]:
        yield f"by target labels alone: step {oracle['step']} was better than the end", ""


def diagnose_divergence(folder: Path) -> Iterator[tuple[str, str]]:
    """Where a run stopped and what was no longer finite; nothing if it did not diverge."""
    file = RunFolder(folder).diverged
    if not is_there(file):
        return
    message = read_text(file, "note of a run that diverged").strip()
    named = re.search(r"the term (\S+) is", message)
    term = named[1] if named else None
    clipped = "set optimizer.clip=1.0"
    if term in LABELLED_ROLES:
        advice = f"lower optimizer.lr, or {clipped}: it is the labels' own loss that grew"
    elif term:
        mend = f"lower method.weight, {clipped}, or lower optimizer.lr"
        advice = f"{mend}: it is no loss of labels, but what the method adds"
    else:
        advice = f"lower optimizer.lr, {clipped}, or lower method.weight"
    yield f"it diverged, and there is no result: {message}", advice
    if before := last_values(folder, f"train/{term}"):
        yield f"{term} was {before}", ""


def last_values(folder: Path, name: str) -> str:
    """The last readings of a figure that the history of an unfinished run has, in words."""
    file = RunFolder(folder).metrics
    if not is_there(file):
        return ""
    try:
        text = read_text(file, "history of a run")
        with explain_damage(file, "history of a run"):
            rows = [row for row in csv.DictReader(StringIO(text)) if row.get(name)]
            return ", ".join(f"{float(row[name]):.3g} at step {row['step']}" for row in rows[-3:])
    except InputError as error:  # what stopped the run is said all the same
        return f"not to be read: {error}"


def curve_column(record: Mapping[str, Any], name: str) -> list[float]:
    """A figure over the curve."""
    return [row[name] for row in record.get("curve", ()) if row.get(name) is not None]


def read_finished(folder: Path) -> RunRecord:
    """The record of a finished run.

    Raises:
        InputError: there is none.
    """
    place = RunFolder(folder)
    record = place.read_record()
    if record is not None:
        return record
    if is_there(place.metrics):
        rows = read_text(place.metrics, "history of a run").splitlines()[1:]
        seen = f"it was last seen at step {rows[-1].partition(',')[0]}: " if rows else ""
        raise InputError(
            f"{folder}: the run did not end; {seen}if it was killed, the same command continues"
        )
    raise InputError(f"{folder}: there is no {RESULT} in this folder; give that of a run")


def main(arguments: list[str]) -> None:
    """``da doctor RUN``: whether a finished run aligned its domains, and what to try."""
    parser = ArgumentParser(
        prog="da doctor", description=main.__doc__, epilog="example: da doctor runs/mine"
    )
    parser.add_argument("run", nargs="+", help="folders of finished runs")
    print_diagnoses([Path(word.removeprefix("run=")) for word in parser.parse_args(arguments).run])


def print_diagnoses(folders: Sequence[Path]) -> None:
    """Every run with its findings."""
    console = open_console()
    for lines in read_each(folders, diagnose_folder, "runs"):
        console.print("\n".join(lines), soft_wrap=True)


def diagnose_folder(folder: Path) -> list[str]:
    """The findings of a run, as lines.

    Raises:
        InputError: there is no record, or it is damaged.
    """
    if lost := list(diagnose_divergence(folder)):
        return [str(folder), *format_findings(lost)]
    record = read_finished(folder)
    verified = read_verified(folder)
    with explain_damage(RunFolder(folder).result, "record of a run that da doctor knows"):
        source, target = ("+".join(map(printable, names)) or "nothing" for names in sides(record))
        return [
            printable(f"{record['choices']['method']}: {source} -> {target} ({folder})"),
            *format_findings(diagnose(record)),
            *(f"  {s}" for s in (verified.sentences if verified else ())),
        ]


def format_findings(findings: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Findings as lines, what to try below each."""
    for finding, advice in findings:
        yield f"  {finding}"
        if advice:
            yield f"    try: {advice}"
