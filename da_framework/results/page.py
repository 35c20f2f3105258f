"""Finished runs as one HTML page that needs no network and no other file."""

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from da_framework.results.folder import RunFolder
from da_framework.results.statistics import PICKS, Record, Row, Value, accuracy_of, flatten

TEMPLATE = Path(__file__).with_suffix(".html")
PICTURES = {"tsne": (760, 400), "confusion": (420, 420)}
"""Of a run's folder, and how large they are at most on the page."""
MOST = 120
"""Pictures on a page; a run of every cell comes first."""
READINGS = 60
"""Of a curve, at most."""


def render_page(table: Sequence[Row], *, against: Sequence[str], notes: Sequence[str]) -> str:
    """The page of a table and of the runs in it.

    Args:
        table: cells with their runs.
        against: methods that the others are compared with.
        notes: what is said below the table.
    """
    records = [(n, record) for n, row in enumerate(table) for record in row.runs.values()]
    configs = [flatten(record["config"]) for _, record in records]
    shared = common(configs)
    environments: list[Any] = []
    runs = []
    for (n, record), config in zip(records, configs, strict=True):
        environment = record.get("environment", {})
        if environment not in environments:
            environments.append(environment)
        own = {key: value for key, value in config.items() if key not in shared}
        runs.append(
            {"row": n, "environment": environments.index(environment), "config": own}
            | page_run(record)
        )
    attach_pictures(runs, table)
    everywhere = set.intersection(*(set(row.setting) for row in table))
    data = {
        "everywhere": sorted(everywhere),
        "rows": [page_row(row, everywhere) for row in table],
        "runs": runs,
        "environments": environments,
        "against": list(against),
        "notes": list(notes),
    }
    # a name with </script> in it must not end the script that holds it
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return TEMPLATE.read_text().replace("@DATA@", text)


def common(configs: Sequence[Mapping[str, Value]]) -> set[str]:
    """The keys that all configs have, with the same value."""
    first, *others = configs
    return {
        key
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }


def page_row(row: Row, everywhere: Set[str]) -> dict[str, Any]:
    """A row as the page reads it, less the words of its setting that all have."""
    seconds = [
        found for record in row.runs.values() if (found := training_seconds(record)) is not None
    ]
    return {
        "task": row.task,
        "method": row.method,
        "setting": ", ".join(word for word in row.setting if word not in everywhere),
        "seeds": list(row.runs),
        "missing": row.missing,
        "figures": row.figures,
        "above": row.gains,
        "seconds": sum(seconds) / len(seconds) if seconds else None,
    }


def page_run(record: Record) -> dict[str, Any]:
    """A run as the page reads it, but for its pictures."""
    last, chosen = record["target"]["last"], record["target"]["chosen"]
    return {
        "seed": record["config"]["seed"],
        "accuracy": {pick: 100 * accuracy_of(record, pick) for pick in PICKS},
        "f1": last.get("f1"),
        "calibration_error": last.get("calibration_error"),
        "score": chosen.get("score"),
        "chosen": chosen.get("step"),
        "validator": record["choices"].get("validator", ""),
        "steps": record.get("steps"),
        "seconds": training_seconds(record),
        "memory": record.get("peak_memory_mib"),
        "command": record["command"],
        "folder": record.get("folder"),
        "code": record.get("code"),
        "data": record.get("data", {}),
        "curve": thin_curve(record.get("curve", [])),
        "verdicts": record.get("verdicts", []),
        "pictures": {},
    }


def training_seconds(record: Record) -> float | None:
    """Seconds of it, where the record says."""
    found: float | None = record.get("seconds", {}).get("training")
    return found


def thin_curve(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """A curve by columns, of no more readings than a page needs; the last is kept."""
    every = -(-len(rows) // READINGS) or 1
    kept = rows[(len(rows) - 1) % every :: every] if rows else []
    names = dict.fromkeys(name for row in kept for name in row)
    return {name: [round_figure(row.get(name)) for row in kept] for name in names}


def round_figure(value: Any) -> Any:
    """A figure in five digits; none of what is not finite, which JSON has no word for."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def attach_pictures(runs: Sequence[dict[str, Any]], table: Sequence[Row]) -> None:
    """Gives runs their pictures: to the first of every cell first, until there are ``MOST``."""
    place: dict[int, int] = {}
    turns = []
    for own in runs:
        place[own["row"]] = place.get(own["row"], -1) + 1
        turns.append((place[own["row"]], own))
    left = MOST
    for _, own in sorted(turns, key=lambda turn: turn[0]):
        drawn = RunFolder(Path(own["folder"])).drawn_figures() if own["folder"] else {}
        there = [drawn[name] for name in PICTURES if name in drawn]
        if len(there) > left:
            own["unshown"] = " and ".join(file.name for file in there)
            continue
        left -= len(there)
        own["pictures"] = {file.stem: found for file in there if (found := thumbnail(file))}


def thumbnail(file: Path) -> str | None:
    """A picture in the size of the page, as its own address; none of a damaged one."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            picture = image.convert("RGB")
    except (OSError, SyntaxError):
        return None
    picture.thumbnail(PICTURES[file.stem])
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=75)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
