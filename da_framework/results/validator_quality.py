"""Quality of validators: how well they choose among checkpoints whose accuracies are known."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from da_framework.core.errors import InputError
from da_framework.core.text import markdown, markdown_code
from da_framework.results.cells import task_of
from da_framework.results.record_schema import RunRecord
from da_framework.results.statistics import (
    Mean,
    accuracy_curve,
    figures_per_evaluation,
    mean_over_seeds,
)

PREFIX = "validator/"
RANDOM = "random choice"


class ValidatorChoice(NamedTuple):
    """A validator's choice among all checkpoints of a task and a seed, in fractions of 1.

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


class ScoredCheckpoints(NamedTuple):
    """The checkpoints of a run: target accuracies, and each validator's scores."""

    accuracies: list[float]
    scores: Mapping[str, list[float]]


def weighted_spearman(
    scores: Float[np.ndarray, " n"], accuracies: Float[np.ndarray, " n"], *, power: float = 2.0
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
        weighted = (np.cumsum(mass) - mass + (ties + 1) / (2 * ties) * mass)[place]
        centred.append(weighted - np.average(weighted, weights=weights))
    covariance, first, second = (
        float(np.sum(weights * a * b))
        for a, b in ((centred[0], centred[1]), (centred[0],) * 2, (centred[1],) * 2)
    )
    return covariance / (first * second) ** 0.5 if first > 0 and second > 0 else 0.0


def validator_scores(record: RunRecord) -> dict[str, list[float | None]]:
    """Each validator's score of every evaluation; none where it gave none."""
    if "scores" in record:
        return dict(record["scores"])
    return figures_per_evaluation(record, PREFIX)


def checkpoints_by_task(
    records: Sequence[RunRecord],
    scores_of: Callable[[RunRecord], Mapping[str, list[float | None]]] = validator_scores,
) -> dict[tuple[str, int], list[ScoredCheckpoints]]:
    """The checkpoints of runs, by task and seed; without the untrained models.

    A score that is not there counts as the lowest of the validator in its run, as in Musgrave et
    al.'s code.

    Args:
        records: of the runs.
        scores_of: the scores of a run at every evaluation, by name.

    Raises:
        InputError: no run has scores.
    """
    checkpoints: dict[tuple[str, int], list[ScoredCheckpoints]] = {}
    for record in records:
        trained = [n for n, (step, _) in enumerate(accuracy_curve(record)) if step > 0]
        scores = {
            name: [values[n] for n in trained]
            for name, values in scores_of(record).items()
            if any(values[n] is not None for n in trained)
        }
        if not scores:
            continue
        lowest = {name: min(v for v in values if v is not None) for name, values in scores.items()}
        place = task_of(record), record["config"]["seed"]
        checkpoints.setdefault(place, []).append(
            ScoredCheckpoints(
                [accuracy_curve(record)[n][1] for n in trained],
                {
                    name: [lowest[name] if v is None else v for v in values]
                    for name, values in scores.items()
                },
            )
        )
    if not checkpoints:
        raise InputError(
            "no run here has scores of validators, which callback=[validators] records, and target "
            "labels to judge them by"
        )
    return checkpoints


def judge_validators(runs: Sequence[ScoredCheckpoints]) -> dict[str, ValidatorChoice]:
    """The choice of each validator that all runs have; first, random choice."""
    accuracies = np.array([value for run in runs for value in run.accuracies])
    best = float(accuracies.max())
    chance = float(accuracies.mean())
    means = fmean(max(run.accuracies) - fmean(run.accuracies) for run in runs)
    choices = {RANDOM: ValidatorChoice(0.0, chance, best - chance, means)}
    for name in sorted(set.intersection(*(set(run.scores) for run in runs))):
        scores = np.array([value for run in runs for value in run.scores[name]])
        picked = float(accuracies[scores.argmax()])
        within = fmean(
            max(run.accuracies) - run.accuracies[int(np.argmax(run.scores[name]))] for run in runs
        )
        correlation = weighted_spearman(scores, accuracies)
        choices[name] = ValidatorChoice(correlation, picked, best - picked, within)
    return choices


def render_validators(records: Sequence[RunRecord]) -> str:
    """A row for each task and validator, means over seeds: what costs least comes first.

    Raises:
        InputError: no run has scores.
    """
    return render_choices(checkpoints_by_task(records), "validator")


def render_choices(
    checkpoints: Mapping[tuple[str, int], Sequence[ScoredCheckpoints]], what: str
) -> str:
    """The table of ``render_validators``, of whatever gives checkpoints their scores."""
    lines = [
        f"| task | {what} | weighted Spearman | accuracy of its choice | oracle | cost "
        "| cost within a run |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in dict.fromkeys(task for task, _ in checkpoints):
        seeds = [judge_validators(runs) for (name, _), runs in checkpoints.items() if name == task]
        rows = {
            name: mean_choice([choices[name] for choices in seeds])
            for name in set.intersection(*map(set, seeds))
        }
        lines += [
            f"| {markdown(task)} | {markdown_code(name, in_table=True)} | "
            f"{' | '.join(map(str, figures))} |"
            for name, figures in sorted(rows.items(), key=lambda item: (item[1][3].mean, item[0]))
        ]
    count = [len(run.accuracies) for runs in checkpoints.values() for run in runs]
    seed_count = len({seed for _, seed in checkpoints})
    return "\n".join(
        [
            *lines,
            "",
            f"{sum(count)} checkpoints of {len(count)} runs; mean over {seed_count} seeds ± half "
            "of the 95 % t-interval, all in percent or points; `random choice`: what drawing a "
            "checkpoint comes to in the mean.",
        ]
    )


def mean_choice(choices: Sequence[ValidatorChoice]) -> list[Mean]:
    """Means over seeds of correlation, accuracy, the oracle's accuracy, cost and cost within."""
    columns = (
        [choice.correlation for choice in choices],
        [choice.accuracy for choice in choices],
        [choice.accuracy + choice.cost for choice in choices],
        [choice.cost for choice in choices],
        [choice.within for choice in choices],
    )
    return [mean_over_seeds(values) for values in columns]
