"""Records of runs, and tables of papers, that several tests report on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from da_framework.results.experiments import Paper, PaperTable

BESIDE = ("logger", "callback", "again", "experiments")
PAPER: dict[str, Any] = {
    "title": "Somebody, 2020, table 1",
    "known": "verified",
    "tolerance": 1.5,
    "reason": "five seeds",
    "baseline": "source_only",
    "columns": ["a-b", "b-a"],
    "rows": {"source_only": [60.0, 50.0], "dann": [70.0, None]},
}


SWEEP_PARAMS = {"method": "source_only,dann", "dataset.pair": "[a,b],[b,a]", "seed": "1,2"}


def table_record(
    accuracy: float = 0.5,
    *,
    method: str = "dann",
    seed: int = 1,
    overrides: tuple[str, ...] = (),
    source: tuple[str, ...] = ("mnist",),
    baseline: bool = False,
    keys: Mapping[str, Any] | None = None,
) -> Any:
    """A record whose three accuracies are a tenth apart; ``keys`` are the method's."""
    figures = {"macro_f1": 0.4321, "calibration_error": 0.0567}
    accuracies = {"last": accuracy, "chosen": accuracy + 0.1, "oracle": accuracy + 0.2}
    return {
        "key": "k",
        "command": " ".join(["da train", f"method={method}", f"seed={seed}", *overrides]),
        "choices": {"method": method, "validator": "entropy"},
        "config": {
            "seed": seed,
            "method": {
                "name": method,
                "words": [w for w in overrides if w.startswith("method.")],
                **(keys or {}),
            },
            "dataset": {"split_seed": 0},
            "other": [
                w.lstrip("+")
                for w in overrides
                if not w.lstrip("+").startswith(("method.", *BESIDE))
            ],
        },
        "baseline": baseline,
        "domains": {"source": list(source), "target": ["usps"]},
        "seconds": {"training": 12.4},
        "code": "c",
        "environment": {"versions": {}},
        "target": {
            pick: {"step": 10 * number, "accuracy": value, **figures}
            for number, (pick, value) in enumerate(accuracies.items(), start=1)
        },
    }


def write_run(folder: Path, given: Any) -> Path:
    """A run's folder with this record in it."""
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(given))
    return folder


def baseline_records(accuracies: Mapping[int, float], method: str = "lower") -> list[Any]:
    """Runs of a baseline by seed."""
    return [table_record(a, seed=s, method=method, baseline=True) for s, a in accuracies.items()]


def weighted_record(accuracy: float, weight: Any, **keys: Any) -> Any:
    """A record of a run with this ``method.weight``."""
    overrides = (*keys.pop("overrides", ()), f"method.weight={weight}".replace(" ", ""))
    run = table_record(accuracy, keys={"weight": weight}, overrides=overrides, **keys)
    del run["config"]["method"]["words"]
    return run


def paper_table(tmp_path: Path, *, params: Any = SWEEP_PARAMS, **paper: Any) -> PaperTable:
    """An experiment that states two rows of two columns, with other keys of its paper."""
    folder, file, stated = tmp_path / "runs", tmp_path / "table.yaml", Paper(**(PAPER | paper))
    return PaperTable("some/table", folder, file, params, paper=stated)


def reproduced_record(
    method: str, accuracy: float, *, seed: int = 1, pair: str = "a-b", steps: int = 9
) -> Any:
    """A record of a cell of that table, with three evaluations."""
    source, target = pair.split("-")
    return {
        "command": f"da train method={method} steps={steps}",
        "choices": {"method": method},
        "config": {"seed": seed, "steps": steps, "method": {}, "dataset": {}},
        "domains": {"source": [source], "target": [target]},
        "target": {pick: {"accuracy": accuracy} for pick in ("last", "chosen", "oracle")},
        "readings": [[0, 0.9], [5, accuracy - 0.1], [9, accuracy]],
        "seconds": {"all": 90.0},
        "finished": "2031-02-03T04:05:06+00:00",
        "code": "0123456789",
        "environment": {"versions": {"torch": "2.0"}},
    }
