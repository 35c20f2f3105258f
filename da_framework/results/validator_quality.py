"""How well validators choose among checkpoints whose accuracies are known."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from da_framework.core.errors import InputError
from da_framework.results.statistics import Mean, Record, evaluations, over_seeds

PREFIX = "validator/"
RANDOM = "random choice"
Array = np.ndarray


class ValidatorChoice(NamedTuple):
    """What a validator makes of all checkpoints of a task and a seed, in fractions of 1.

    Attributes:
        correlation: weighted, of its scores' ranks with those of target accuracy.
        accuracy: of the checkpoint with its highest score.
        cost: how far that is below the best.
        within: the same for the checkpoints of one run, in the mean over runs.
    """

    correlation: float
    accuracy: float
    cost: float
    within: float


class Checkpoints(NamedTuple):
    """The checkpoints of a run: target accuracies, and each validator's scores."""

    accuracies: list[float]
    scores: Mapping[str, list[float]]


def weighted_spearman(
    scores: Float[Array, " n"], accuracies: Float[Array, " n"], *, power: float = 2.0
) -> float:
    r"""Correlation of ranks in which the best of either side weigh most; in [-1, 1].

    .. math::
        w_i = \max\!\left( \frac{d_i(s)}{\max d(s)}, \frac{d_i(a)}{\max d(a)} \right)^2, \qquad
        r_i(v) = \sum_{v_j < v_i} w_j + \frac{t_i + 1}{2 t_i} \sum_{v_j = v_i} w_j

    and the weighted Pearson correlation of r(s) and r(a): d are ranks from 1 on in which equal
    values share one and leave no gap, t_i is how many values equal the i-th. 0 where all values of
    a side are equal.
    Musgrave, Belongie, Lim, "Three New Validators and a Large-Scale Benchmark Ranking for
    Unsupervised Domain Adaptation", 2022, and as their code has it.
    https://arxiv.org/abs/2208.07360

    Args:
        scores: of a validator, higher is better.
        accuracies: on the target.
        power: of the weights; 2 is theirs.
    """
    dense = [np.unique(values, return_inverse=True)[1] + 1.0 for values in (scores, accuracies)]
    weights = np.maximum(*(ranks / ranks.max() for ranks in dense)) ** power
    centred = []
    for ranks in dense:
        place = ranks.astype(int) - 1
        mass, ties = np.bincount(place, weights), np.bincount(place)
        own = (np.cumsum(mass) - mass + (ties + 1) / (2 * ties) * mass)[place]
        centred.append(own - np.average(own, weights=weights))
    both, one, other = (
        float(np.sum(weights * a * b))
        for a, b in ((centred[0], centred[1]), (centred[0],) * 2, (centred[1],) * 2)
    )
    return both / (one * other) ** 0.5 if one > 0 and other > 0 else 0.0


def validator_scores(record: Record) -> dict[str, list[float | None]]:
    """Each validator's score of every evaluation in ``readings``; none where it gave none."""
    if "scores" in record:
        return dict(record["scores"])
    rows = [row for row in record.get("curve", ()) if "oracle/accuracy" in row]
    names = sorted({name for row in rows for name in row if name.startswith(PREFIX)})
    return {name.removeprefix(PREFIX): [row.get(name) for row in rows] for name in names}


def checkpoints_by_task(records: Sequence[Record]) -> dict[tuple[str, int], list[Checkpoints]]:
    """The checkpoints of runs, by task and seed; without the untrained models.

    A score that is not there counts as the lowest of the validator in its run, as in Musgrave et
    al.'s code.

    Raises:
        InputError: no run has scores.
    """
    found: dict[tuple[str, int], list[Checkpoints]] = {}
    for record in records:
        trained = [n for n, (step, _) in enumerate(evaluations(record)) if step > 0]
        own = {
            name: [given[n] for n in trained]
            for name, given in validator_scores(record).items()
            if any(given[n] is not None for n in trained)
        }
        if not own:
            continue
        lowest = {name: min(v for v in given if v is not None) for name, given in own.items()}
        task = " → ".join("+".join(record["domains"][side]) for side in ("source", "target"))
        found.setdefault((task, record["config"]["seed"]), []).append(
            Checkpoints(
                [evaluations(record)[n][1] for n in trained],
                {n: [lowest[n] if v is None else v for v in given] for n, given in own.items()},
            )
        )
    if not found:
        raise InputError("no run here has scores of validators: callback=[validators] records them")
    return found


def judge_validators(checkpoints: Sequence[Checkpoints]) -> dict[str, ValidatorChoice]:
    """What each validator that all runs have makes of their checkpoints; first, random choice."""
    accuracies = np.array([value for run in checkpoints for value in run.accuracies])
    best = float(accuracies.max())
    chance = float(accuracies.mean())
    means = fmean(max(run.accuracies) - fmean(run.accuracies) for run in checkpoints)
    found = {RANDOM: ValidatorChoice(0.0, chance, best - chance, means)}
    for name in sorted(set.intersection(*(set(run.scores) for run in checkpoints))):
        given = np.array([value for run in checkpoints for value in run.scores[name]])
        picked = float(accuracies[given.argmax()])
        within = fmean(
            max(run.accuracies) - run.accuracies[int(np.argmax(run.scores[name]))]
            for run in checkpoints
        )
        correlation = weighted_spearman(given, accuracies)
        found[name] = ValidatorChoice(correlation, picked, best - picked, within)
    return found


def render_validators(records: Sequence[Record]) -> str:
    """A row for each task and validator, means over seeds: what costs least comes first.

    Raises:
        InputError: no run has scores.
    """
    found = checkpoints_by_task(records)
    lines = [
        "| task | validator | weighted Spearman | accuracy of its choice | oracle | cost "
        "| cost within a run |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in dict.fromkeys(task for task, _ in found):
        each = [judge_validators(own) for (name, _), own in found.items() if name == task]
        table: dict[str, list[Mean]] = {}
        for name in set.intersection(*map(set, each)):
            columns: Any = zip(*(own[name] for own in each), strict=True)
            correlation, accuracy, cost, within = map(list, columns)
            oracle = [a + c for a, c in zip(accuracy, cost, strict=True)]
            figures = (correlation, accuracy, oracle, cost, within)
            table[name] = [over_seeds(values) for values in figures]
        lines += [
            f"| {task} | `{name}` | {' | '.join(map(str, own))} |"
            for name, own in sorted(table.items(), key=lambda item: (item[1][3].mean, item[0]))
        ]
    count = [len(run.accuracies) for own in found.values() for run in own]
    seeds = len({seed for _, seed in found})
    return "\n".join(
        [
            *lines,
            "",
            f"{sum(count)} checkpoints of {len(count)} runs; mean over {seeds} seeds ± half of the "
            "95 % t-interval, all in percent or points; `random choice`: what drawing a checkpoint "
            "comes to in the mean.",
        ]
    )
