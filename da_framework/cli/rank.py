"""``da rank``: which of several finished runs is the one to begin a new task with."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from rich.table import Table

from da_framework.config.schema import check_config, instantiate, to_plain
from da_framework.core.batch import Outputs
from da_framework.core.damage import read_each
from da_framework.core.errors import InputError, MissingRoleError, listed
from da_framework.core.files import write_text
from da_framework.core.rounding import format_fixed
from da_framework.core.terminal import open_console
from da_framework.core.text import printable
from da_framework.core.types import ConfigNode
from da_framework.datasets.base import Dataset
from da_framework.datasets.datamodule import Domains
from da_framework.metrics.transferability.h_score import h_score
from da_framework.metrics.transferability.leep import leep
from da_framework.metrics.transferability.log_me import log_me
from da_framework.metrics.transferability.nce import nce
from da_framework.training.restore import (
    count_shared,
    find_run,
    finished_folder,
    load_weights,
    rebuild,
)

log = logging.getLogger(__name__)

NAMES = {"log_me": "LogME", "leep": "LEEP", "nce": "NCE", "h_score": "H-score"}


def rank(
    *,
    run: Annotated[list[str], Field(min_length=1)],
    pick: Literal["last", "chosen"],
    by: Literal["log_me", "leep", "nce", "h_score"],
    out: str | None,
    data_dir: str | None,
    dataset: ConfigNode,
    trust: Sequence[Any] = (),
) -> dict[str, Any]:
    """Transferability scores of finished runs on the labelled rows of a target, best first.

    The runs may have learnt other classes. No hidden label has any effect.

    Args:
        run: folders of finished runs.
        pick: which of their weights.
        by: the score that orders them.
        out: a file to write what is returned to, as JSON.
        data_dir: where the runs' data is now; ``None``: where every command looks for data.
        dataset: config of the data set.
        trust: what the records may name beside what installed configs name: see ``find_run``.

    Returns:
        The settings, and under ``ranking`` each run with its scores.

    Raises:
        InputError: no run is there that fits the data; no target row is labelled, or those that
            are have one class.
    """
    try:
        target = Domains(instantiate(dataset), ["target_labelled"], seed=0)
    except MissingRoleError:
        raise InputError(
            "a ranking needs labelled target rows: set dataset.labels_per_class=3, or all"
        ) from None

    def score(folder: str) -> dict[str, Any]:
        outputs = evaluate_run(folder, pick=pick, data_dir=data_dir, target=target, trust=trust)
        return {"run": folder, **transferability_scores(outputs)}

    for name in run:  # a name that is mistyped is no damaged run
        finished_folder(name)
    ranking = read_each(run, score, "runs")
    ranked = {
        "pick": pick,
        "by": by,
        "dataset": dataset,
        "target": target.dataset.target,
        "rows": len(target.train["target_labelled"].y),
        "ranking": sorted(ranking, key=lambda row: row[by], reverse=True),
    }
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        write_text(Path(out), json.dumps(ranked, indent=1, allow_nan=False) + "\n")
    return ranked


def evaluate_run(
    run: str, *, pick: str, data_dir: str | None, target: Domains, trust: Sequence[Any] = ()
) -> Outputs:
    """What a run's network makes of the labelled target rows."""
    finished = find_run(run, pick=pick, data_dir=data_dir, trust=trust)
    built = rebuild(finished)
    task, rows = built.domains.task, target.train["target_labelled"]
    if task.shape != target.task.shape:
        raise InputError(
            f"run={run}: it takes inputs of the shape {task.shape}, "
            f"those of {listed(target.dataset.target)} have {target.task.shape}"
        )
    if count := count_labels_trained_on(built.domains.dataset, target.dataset):
        log.warning(
            "warning: run=%s was trained with %d of these labels: its scores are flattered",
            run,
            count,
        )
    load_weights(built.module, finished.weights)
    # the run's domains are others: it sees every row as one of its own target
    as_target = rows._replace(domain=torch.full_like(rows.domain, task.sources))
    outputs = built.module.method.evaluate_samples(as_target)
    if not (outputs.features.isfinite().all() and outputs.logits.isfinite().all()):
        raise InputError(f"run={run}: what it makes of these rows is not finite")
    return outputs


def transferability_scores(outputs: Outputs) -> dict[str, float]:
    """All four, of which a few labelled rows need the shrunk H-score."""
    p = outputs.logits.double().softmax(1)
    return {
        "log_me": log_me(outputs.features, y=outputs.y),
        "leep": leep(p, y=outputs.y),
        "nce": nce(p.argmax(1), y=outputs.y),
        "h_score": h_score(outputs.features, y=outputs.y, shrinkage=True),
    }


def count_labels_trained_on(trained: Dataset, ranked: Dataset) -> int:
    """How many of the labelled target rows were trained on with their labels."""
    if type(trained) is not type(ranked):
        return 0
    parts = [
        part for parts in trained.split_roles().train.values() for part in parts if part.labelled
    ]
    same = [
        part
        for part in ranked.split_roles().train["target_labelled"]
        if part.domain in trained.domains
        and trained.fingerprint(part.domain) == ranked.fingerprint(part.domain)
    ]
    return count_shared(same, parts)


def main(config: Any) -> None:
    """Ranks and prints."""
    config = to_plain(config)
    config = check_config(config, rank)
    ranked = rank(**config)
    table = Table(
        title=f"{ranked['pick']} weights on {ranked['rows']} labelled rows of "
        f"{listed(ranked['target'])}"
    )
    table.add_column("run", overflow="fold")
    for name, title in NAMES.items():
        mark = " ↓" if name == ranked["by"] else ""
        table.add_column(title + mark, justify="right", no_wrap=True)
    for row in ranked["ranking"]:
        table.add_row(printable(row["run"]), *(format_fixed(row[name], 4) for name in NAMES))
    open_console().print(table)
