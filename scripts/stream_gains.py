"""What every stream method gains over the source model, from MNIST to USPS and to MNIST-M.

    python scripts/stream_gains.py               # every method of ours; an hour on a core
    python scripts/stream_gains.py tent lame --stream MNIST-M     # some

Three source models, of the seeds 1 to 3, each meet three streams of USPS once: in any order, sorted
by class, and with the fifteen corruptions in severity 3; three others meet a thousand samples of
MNIST-M. Methods run with their defaults, batches are of 64: nothing is tuned. What is slow meets a
part of each stream, and is compared with the source model on that. Repeating the command
continues; runs and streams are below ``multirun/streams``, the table in ``experiments/streams``.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from da_framework.cli.stream import stream
from da_framework.config.plugins import conf_dir
from da_framework.core.files import write_text
from da_framework.core.rounding import format_fixed, format_signed
from da_framework.core.text import replace_marked
from da_framework.results.folder import RunFolder
from da_framework.results.statistics import half_interval

ROOT = Path(__file__).resolve().parents[1] / "experiments" / "streams"
RUNS = Path("multirun/streams")
SEEDS = (1, 2, 3)
BASELINE = "frozen"
PAIR, COLOURED = "source", "mnistm"
"""Source models: of the embedded pair, and of MNIST as MNIST-M has it."""
SOURCES = {
    PAIR: ["dataset=digits"],
    COLOURED: ["dataset=digits_full", "dataset.source=[mnist]", "dataset.target=[mnistm]"],
}
STREAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "any order": (PAIR, {}),
    "sorted by class": (PAIR, {"order": "class", "strength": 0.0}),
    "fifteen corruptions": (PAIR, {"corruption": "all", "severity": 3}),
    "MNIST-M": (COLOURED, {"samples": 1000}),
}
"""By title: the source models, and keys of the stream."""
SLOW = {"memo": 150}
"""So many samples of a stream, for methods that take long."""
BEGIN, END = "<!-- streams -->", "<!-- /streams -->"
"""Around the table in the README."""


def train(source: str, seed: int) -> Path:
    """The source model of a seed."""
    folder = RUNS / f"{source}-{seed}"
    if not RunFolder(folder).result.is_file():
        words = [*SOURCES[source], "network=convnet", "method=source_only", "steps=600"]
        words += [f"seed={seed}", "logger=[]", "callback=[]", f"hydra.run.dir={folder}"]
        subprocess.run([sys.executable, "-m", "da_framework", "train", *words], check=True)
    return folder


def measure(name: str, title: str, seed: int, samples: int | None = None) -> dict[str, Any]:
    """Figures of a method on a stream, or on so many samples of it."""
    keys = yaml.safe_load((conf_dir() / "stream.yaml").read_text("utf-8"))
    for key in ("hydra", "defaults"):
        del keys[key]
    node = yaml.safe_load((conf_dir() / "stream_method" / f"{name}.yaml").read_text("utf-8"))
    source, given = STREAMS[title]
    part = {} if samples is None else {"samples": samples}
    places = [title.replace(" ", "_"), name, str(seed), *map(str, part.values())]
    own = {"run": str(train(source, seed)), "stream_method": node, "seed": seed}
    record, _ = stream(**{**keys, **given, **part, **own, "out": str(RUNS / "-".join(places))})
    assert record["source"] is not None
    return {
        "accuracy": record["accuracy"],
        "forgetting": record["source"]["forgetting"],
        "milliseconds": 1000 * record["seconds_per_sample"],
        "resets": len(record["resets"]),
        "samples": record["samples"],
    }


def measure_part(name: str, title: str, seed: int) -> dict[str, Any]:
    """Figures of a method, and the source model's accuracy where both saw a part of the stream."""
    samples = SLOW.get(name)
    figures = measure(name, title, seed, samples)
    if samples is None:
        return figures
    return figures | {BASELINE: measure(BASELINE, title, seed, samples)["accuracy"]}


def render(measured: dict[str, dict[str, list[dict[str, Any]]]]) -> str:
    """The table: accuracy, and the gain over the source model with its 95 % interval."""
    heads = [f"{title} | gain" for title in STREAMS]
    lines = [
        f"| `stream_method=` | {' | '.join(heads)} | forgetting | ms a sample |",
        f"|---|{'---|' * (2 * len(STREAMS) + 2)}",
    ]
    for name, figures in measured.items():
        cells = []
        for title in STREAMS:
            ours, base = figures.get(title), measured[BASELINE].get(title)
            if not ours or not base:
                cells += ["", ""]
                continue
            gains = [
                100 * (a["accuracy"] - a.get(BASELINE, b["accuracy"]))
                for a, b in zip(ours, base, strict=True)
            ]
            cells.append(format_fixed(100 * fmean(a["accuracy"] for a in ours)))
            bound = "" if name == BASELINE else f" ± {format_fixed(half_interval(gains) or 0.0)}"
            cells.append(f"{format_signed(fmean(gains))}{bound}")
        first = figures.get(next(iter(STREAMS)), [])
        for key, factor, digits in (("forgetting", 100, 1), ("milliseconds", 1, 2)):
            value = fmean(factor * run[key] for run in first) if first else 0.0
            cells.append(format_fixed(value, digits))
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Trains, measures and writes."""
    names = sorted(file.stem for file in (conf_dir() / "stream_method").glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("methods", nargs="*", choices=[[], *names])
    parser.add_argument("--stream", action="append", choices=[*STREAMS], help="this one alone")
    parsed = parser.parse_args()
    chosen = parsed.methods or names
    file = ROOT / "streams.recorded.json"
    kept = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    for title in parsed.stream or STREAMS:
        # what sees a part of a stream is compared with the source model on that part
        first = [] if {*chosen} <= {*SLOW} and title in kept.get(BASELINE, {}) else [BASELINE]
        for name in [*first, *(name for name in chosen if name != BASELINE)]:
            figures = [measure_part(name, title, seed) for seed in SEEDS]
            kept.setdefault(name, {})[title] = figures
            print(title, name, [format_fixed(100 * f["accuracy"]) for f in figures], flush=True)
            ordered = {name: kept[name] for name in [BASELINE, *names] if name in kept}
            write_text(file, json.dumps(ordered, indent=1) + "\n")
            readme = ROOT / "README.md"
            text = readme.read_text("utf-8")
            write_text(readme, replace_marked(text, BEGIN, END, render(ordered)))


if __name__ == "__main__":
    main()
