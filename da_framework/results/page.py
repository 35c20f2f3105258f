"""Finished runs as one HTML page that needs no network and no other file."""

import base64
import math
import sys
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from da_framework.core.damage import read_bytes
from da_framework.core.text import printable_tree, script_json
from da_framework.results.cells import Value, flatten
from da_framework.results.folder import RunFolder
from da_framework.results.ranks import Ranks, rank_notes
from da_framework.results.record_schema import CurvePoint, Environment, RunRecord
from da_framework.results.report import Report
from da_framework.results.statistics import PICKS, Row, t_quantile, target_accuracy
from da_framework.results.verified import Verified

TEMPLATE = Path(__file__).with_suffix(".html")
FIGURE_SIZES = {"tsne": (760, 400), "confusion": (420, 420)}
"""The figures of a run that are shown, and how large they are at most on the page."""
MOST_FIGURES = 120
"""Figures on a page; a run of every cell comes first."""
MOST_EVALUATIONS = 60
"""Points of a curve."""


def render_page(report: Report) -> str:
    """The page of a report and of the runs in it."""
    rows = report.rows
    records = [(n, record) for n, row in enumerate(rows) for record in row.runs.values()]
    parts: dict[int, dict[str, Value]] = {}
    configs = [flatten_shared(record["config"], parts) for _, record in records]
    shared = common_keys(configs)
    environments: list[Environment] = []
    runs = []
    for (n, record), config in zip(records, configs, strict=True):
        environment = record["environment"]
        if environment not in environments:
            environments.append(environment)
        differing = {key: value for key, value in config.items() if key not in shared}
        runs.append(
            {"row": n, "environment": environments.index(environment), "config": differing}
            | page_run(record)
            | page_verified(report.verified.get(record.get("folder") or ""))
        )
    attach_figures(runs)
    most = max(len(row.runs) for row in rows)
    data = {
        "everywhere": report.common_lines(),
        "rows": [page_row(row) for row in rows],
        "runs": runs,
        "environments": environments,
        "against": report.against,
        "notes": [*report.notes(), *report.verified_lines()],
        "ranks": page_ranks(report.ranks),
        # by how many values: what a standard error is multiplied with
        "t": [None, None, *(t_quantile(n) for n in range(2, most + 1))],
    }
    return TEMPLATE.read_text("utf-8").replace("@DATA@", script_json(printable_tree(data)))


def flatten_shared(
    config: Mapping[str, Any], parts: dict[int, dict[str, Value]]
) -> dict[str, Value]:
    """As ``flatten``, once for a part that several records hold.

    Args:
        config: of a record.
        parts: by the identity of what is in the memory anyway, which this adds to.
    """
    flat: dict[str, Value] = {}
    for name, part in config.items():
        if not isinstance(part, dict):
            flat |= flatten({name: part})
            continue
        if id(part) not in parts:
            parts[id(part)] = flatten({name: part})
        flat |= parts[id(part)]
    return flat


def common_keys(configs: Sequence[Mapping[str, Value]]) -> set[str]:
    """The keys that all configs have, with the same value."""
    first, *others = configs
    return {
        key
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }


def page_ranks(ranks: Ranks | None) -> dict[str, Any] | None:
    """The ranks of methods as the page reads them."""
    if ranks is None:
        return None
    methods = [
        {"name": name, "mean": mean, "alike": ranks.alike(n)}
        for n, (name, mean) in enumerate(zip(ranks.names, ranks.means, strict=True))
    ]
    return {
        "methods": methods,
        "test": ranks.test,
        "distance": ranks.distance,
        "cliques": ranks.cliques(),
        "notes": list(rank_notes(ranks)),
    }


def page_row(row: Row) -> dict[str, Any]:
    """A row as the page reads it."""
    seconds = [
        record["seconds"]["training"]
        for record in row.runs.values()
        if "training" in record["seconds"]
    ]
    return {
        "task": row.task,
        "method": row.method,
        "setting": ", ".join(row.setting),
        "seeds": list(row.runs),
        "missing": row.missing,
        "figures": {pick: figure and figure._asdict() for pick, figure in row.figures.items()},
        "above": {
            other: gain._asdict() | {"worst": gain.worst} for other, gain in row.gains.items()
        },
        "score": sum(row.scores) / len(row.scores) if row.scores else None,
        "known": row.is_known,
        "negative": row.negative_transfer,
        "seconds": sum(seconds) / len(seconds) if seconds else None,
    }


def page_run(record: RunRecord) -> dict[str, Any]:
    """A run as the page reads it, but for its figures."""
    last, chosen = record["target"]["last"], record["target"].get("chosen", {})
    return {
        "seed": record["config"]["seed"],
        "accuracy": {
            pick: 100 * accuracy
            for pick in PICKS
            if (accuracy := target_accuracy(record, pick)) is not None
        },
        "macro_f1": last.get("macro_f1"),
        "calibration_error": last.get("calibration_error"),
        "score": chosen.get("score"),
        "chosen": chosen.get("step"),
        "validator": record["choices"].get("validator", ""),
        "steps": record.get("steps"),
        "seconds": record["seconds"].get("training"),
        "memory": record.get("peak_memory_mib"),
        "command": record["command"],
        "folder": record.get("folder"),
        "code": record.get("code"),
        "data": record.get("data", {}),
        "curve": thin_curve(record.get("curve", [])),
        "verdicts": record.get("verdicts", []),
        "pictures": {},
    }


def page_verified(verified: Verified | None) -> dict[str, Any]:
    """What an audit has found of a run, as the page reads it."""
    return {"verified": verified._asdict()} if verified else {}


def thin_curve(points: Sequence[CurvePoint]) -> dict[str, list[Any]]:
    """A curve by columns, of no more evaluations than a page needs; the last is kept."""
    every = -(-len(points) // MOST_EVALUATIONS) or 1
    kept: Sequence[Mapping[str, Any]] = points[(len(points) - 1) % every :: every] if points else []
    names = dict.fromkeys(name for point in kept for name in point)
    return {name: [round_figure(point.get(name)) for point in kept] for name in names}


def round_figure(value: Any) -> Any:
    """A figure in five digits; none of what is not finite, which JSON has no word for."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def attach_figures(runs: Sequence[dict[str, Any]]) -> None:
    """Gives runs their figures: the first of every cell first, until there are ``MOST_FIGURES``."""
    counts: dict[int, int] = {}
    turns = []
    for run in runs:
        counts[run["row"]] = counts.get(run["row"], -1) + 1
        turns.append((counts[run["row"]], run))
    left = MOST_FIGURES
    for _, run in sorted(turns, key=lambda turn: turn[0]):
        drawn = RunFolder(Path(run["folder"])).drawn_figures() if run["folder"] else {}
        files = [drawn[name] for name in FIGURE_SIZES if name in drawn]
        if len(files) > left:
            run["unshown"] = " and ".join(file.name for file in files)
            continue
        left -= len(files)
        run["pictures"] = {file.stem: source for file in files if (source := thumbnail(file))}


def thumbnail(file: Path) -> str | None:
    """A figure in the size of the page, as a data URL; none of a damaged one."""
    from da_framework.core.pictures import describe_failure, open_picture

    try:
        with open_picture(read_bytes(file, "figure")) as image:
            figure = image.convert("RGB")
    except Exception as error:  # what a damaged file makes of itself has no type
        print(f"skipped: {file}: {describe_failure(error)}", file=sys.stderr)
        return None
    figure.thumbnail(FIGURE_SIZES[file.stem])
    stream = BytesIO()
    figure.save(stream, "WEBP", quality=75)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
