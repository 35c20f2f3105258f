"""The pages of an audit: one to answer questions on, one that shows what the answers say."""

import base64
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from da_framework.audit.betting import judge
from da_framework.audit.pool import UNKNOWN, Pool
from da_framework.audit.questions import Questions
from da_framework.audit.verdicts import Findings, answered_prefix
from da_framework.core.files import write_text
from da_framework.core.text import csv_cell, printable, printable_tree, script_json
from da_framework.datasets.answers import CANNOT_TELL
from da_framework.results.contact_sheet import draw_contact_sheet

TEMPLATES = Path(__file__).parent
LOOKS = 40
"""Points of a curve over labels, at most."""
EXACT = 96
"""The longer side, in pixels, up to which an image is shown without loss."""
EXAMPLES = 60
"""Answered samples that are shown, at most: the latest."""
CELLS, LONGEST_CELL = 100, 4000
"""Of a row that is shown: columns, and characters of each, at most."""
SHEET = 400
"""Samples on a contact sheet, at most: the first that wait."""
UNASKED = 12
"""Samples that are shown though nobody was asked for them, at most."""


def write_label_page(path: Path, pool: Pool, questions: Questions) -> None:
    """Writes the page that questions are answered on: a file, which needs no server.

    Nothing of what the runs say is in it.
    """
    waiting = [own for own in questions.listed(pool) if own[0] not in questions.answers]
    data = {
        # where a browser keeps answers: the same samples in another order are other questions
        "audit": hashlib.sha256(pool.digest.encode() + questions.order.tobytes()).hexdigest()[:16],
        "classes": [
            {"name": name, "cell": csv_cell(printable(name))}
            for name in (*pool.classes, CANNOT_TELL)
        ],
        "questions": [
            {
                "question": question,
                "sample": pool.blind_name(int(questions.order[question - 1])),
                "cell": csv_cell(printable(sample)),
                "picture": picture_url(pool, int(questions.order[question - 1])),
                "cells": shown_cells(pool, int(questions.order[question - 1])),
            }
            for question, sample in waiting
        ],
    }
    fill_template(path, "label.html", data)


def write_sheet(path: Path, pool: Pool, questions: Questions) -> None:
    """Draws the samples that wait for an answer, each above the number of its question.

    For whoever writes answers into the table: without pictures or questions there is none.
    """
    waiting = [own for own, _ in questions.listed(pool) if own not in questions.answers]
    numbered = ((own, pool.picture(int(questions.order[own - 1]))) for own in waiting[:SHEET])
    shown = [(square(picture), str(own)) for own, picture in numbered if picture is not None]
    if shown:
        draw_contact_sheet(path, shown)
    else:
        path.unlink(missing_ok=True)


def square(picture: Any) -> Any:
    """A picture with white beside it, or above and below."""
    image = Image.fromarray(np.ascontiguousarray(picture)).convert("RGB")
    side = max(image.size)
    return np.asarray(ImageOps.pad(image, (side, side), color="white"))


def write_page(
    path: Path,
    pool: Pool,
    questions: Questions,
    findings: Findings,
    *,
    before: Mapping[str, Any],
) -> None:
    """Writes the page of what is known.

    Args:
        path: to write to.
        pool: the samples.
        questions: with their answers.
        findings: what the answers say.
        before: what is known without them: ``shift``, ``estimates``, ``foretold`` of each pair.
    """
    samples, labels = answered_prefix(questions.order, questions.answers)
    names = pool.short_names
    short = dict(zip(pool.runs, names, strict=True))
    pairs = []
    for (a, b), verdict in findings.pairs.items():
        draws = pool.compare(a, b, samples, labels)
        looks = np.unique(np.linspace(0, len(draws), min(LOOKS, len(draws) + 1)).round())
        history = []
        for look in looks.astype(int).tolist():
            level = findings.level
            then = judge(draws[:look], differ=verdict.differ, samples=pool.size, alpha=level)
            history.append([look, then.low, then.high])
        often = pool.commonest_differences(a, b)
        pairs.append(
            {"run": names[a], "beside": names[b], **verdict.facts(), "often": often}
            | {"looks": history, "foretold": before["foretold"][a, b]}
        )
    data = {
        "size": pool.size,
        "deciding": len(pool.deciding),
        "labels": findings.labels,
        "alpha": findings.alpha,
        "runs": names,
        "pairs": pairs,
        "best": None if findings.best is None else names[findings.best],
        "left": [names[run] for run in findings.left],
        "accuracy": [
            [name, *ends] for name, ends in zip(names, findings.accuracy or (), strict=False)
        ],
        "examples": [
            example(pool, int(questions.order[question - 1]), label)
            for question, label in latest(questions.answers)
        ],
        "unasked": [
            example(pool, sample, None)
            for sample in pool.last_examples(questions.order, questions.asked, UNASKED)
        ],
        "shift": before["shift"],
        "estimates": [own | {"run": short[own["run"]]} for own in before["estimates"]],
    }
    fill_template(path, "page.html", data)


def latest(answers: Mapping[int, int]) -> list[tuple[int, int]]:
    """The questions answered last, with their answers."""
    return sorted(answers.items())[-EXAMPLES:]


def example(pool: Pool, sample: int, label: int | None) -> dict[str, Any]:
    """A sample with its answer, if there is one, and what every run says."""
    return {
        "sample": pool.samples[sample],
        "picture": picture_url(pool, sample),
        "label": None
        if label is None
        else CANNOT_TELL
        if label == UNKNOWN
        else pool.classes[label],
        "answers": [
            [run, pool.classes[answer]]
            for run, answer in zip(pool.short_names, pool.answers[:, sample].tolist(), strict=True)
        ],
    }


def picture_url(pool: Pool, sample: int) -> str | None:
    """A sample's picture within a page; none of what is no image or cannot be read."""
    picture = pool.picture(sample)
    if picture is None:
        return None
    stream = io.BytesIO()
    # a page may hold a thousand photos, far smaller as JPEG; small images stay exact
    kind = "jpeg" if max(picture.shape[:2]) > EXACT else "png"
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, format=kind)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def shown_cells(pool: Pool, sample: int) -> list[tuple[str, list[str]]]:
    """Names and texts, line by line, that a person sees of a sample."""
    cells = [*pool.description(sample).items()]
    shown = [
        (name, (text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]} ...").splitlines())
        for name, text in cells[:CELLS]
    ]
    more = len(cells) - CELLS
    return [*shown, ("", [f"and {more} columns more"])] if more > 0 else shown


def fill_template(path: Path, name: str, data: Mapping[str, Any]) -> None:
    """Writes a page of this package with its data."""
    template = (TEMPLATES / name).read_text("utf-8")
    write_text(path, template.replace("@DATA@", script_json(printable_tree(data))))
