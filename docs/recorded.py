"""What the recorded experiments have of a method: its means, beside what does not adapt."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
BASELINE = "source_only"

Run = dict[str, Any]


def recorded_table(name: str) -> str:
    """Every recorded experiment that a method is in, as Markdown; nothing where there is none."""
    rows = [
        f"| [{title(file)}](../experiments/{file.parent.name}/index.md) | {len(tasks(runs))} "
        f"| {len(runs)} | {percent(runs)} | {percent(beside(runs, experiment))} |"
        for file, experiment in read_experiments().items()
        if (runs := [run for run in experiment if run["choices"]["method"] == name])
    ]
    if not rows:
        return ""
    return "\n".join(
        [
            "## Recorded experiments",
            "",
            "Means of accuracy on the target at the last step, of all that was recorded of it; "
            f"`{BASELINE}` on the same samples with the same seeds, where the experiment has it.",
            "",
            f"| experiment | tasks | runs | accuracy, % | `{BASELINE}`, % |",
            "|---|---|---|---|---|",
            *rows,
        ]
    )


@cache
def read_experiments() -> dict[Path, list[Run]]:
    """The recorded runs whose accuracy is known, by file."""
    recorded = sorted(EXPERIMENTS.glob("*/*.recorded.json"))
    files = ((file, json.loads(file.read_text("utf-8"))) for file in recorded)
    return {file: [*known_runs(content)] for file, content in files if isinstance(content, list)}


def known_runs(records: list[Run]) -> Iterator[Run]:
    """Those that are runs, of methods, on samples that they name, with an accuracy."""
    for record in records:
        last = (record.get("target") or {}).get("last") if "choices" in record else None
        if not last or "accuracy" not in last or "dataset" not in record["config"]:
            continue
        if record["choices"].get("method"):
            yield record


def beside(runs: list[Run], experiment: list[Run]) -> list[Run]:
    """The baseline of each run; none unless all have one."""
    others = {task_key(run): run for run in experiment if run["choices"]["method"] == BASELINE}
    found = [others[task_key(run)] for run in runs if task_key(run) in others]
    return found if len(found) == len(runs) else []


def task_key(run: Run) -> str:
    """What two runs have in common that were given the same samples and the same seed."""
    samples = {key: value for key, value in run["config"]["dataset"].items() if key != "batch_size"}
    return json.dumps([samples, run["domains"], run["config"]["seed"]], sort_keys=True)


def tasks(runs: list[Run]) -> set[str]:
    """The sources and targets of runs."""
    return {json.dumps(run["domains"], sort_keys=True) for run in runs}


def percent(runs: list[Run]) -> str:
    """The mean accuracy of runs."""
    return f"{100 * mean(run['target']['last']['accuracy'] for run in runs):.1f}" if runs else ""


def title(file: Path) -> str:
    """What the experiment is called, with its file where its folder has several."""
    head, name = page_title(file.parent), file.name.removesuffix(".recorded.json")
    return f"{head}: {name}" if len([*file.parent.glob("*.recorded.json")]) > 1 else head


def page_title(folder: Path) -> str:
    """The first line of an experiment's page."""
    return (folder / "README.md").read_text("utf-8").splitlines()[0].lstrip("# ")
