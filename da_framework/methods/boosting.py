"""Boosting that forgets source samples it keeps getting wrong."""

from collections.abc import Callable
from math import ceil, log, sqrt
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int

from da_framework.core.errors import InputError
from da_framework.core.types import Count


class Learner(Protocol):
    """A classifier of scikit-learn that takes weights."""

    def fit(self, x: Any, y: Any, *, sample_weight: Any) -> Any:
        """Learns from weighted samples."""

    def predict(self, x: Any) -> Any:
        """Labels of samples."""


class Boosted(NamedTuple):
    """The result of boosting: its learners, how they vote, and how samples came to weigh.

    Attributes:
        learners: one a round.
        votes: weight of each learner's vote; 0 in the first half of the rounds.
        weights: of the source's samples and then the target's, before each round and after the
            last.
        classes: how many there are.
    """

    learners: tuple[Learner, ...]
    votes: Float[np.ndarray, " rounds"]
    weights: Float[np.ndarray, "rounds_and_1 rows"]
    classes: int

    def scores(self, x: Float[np.ndarray, "rows d"]) -> Float[np.ndarray, "rows k"]:
        """Share of the votes that each class has; the largest is what is predicted."""
        scores: Float[np.ndarray, "rows k"] = np.zeros((len(x), self.classes))
        for learner, vote in zip(self.learners, self.votes, strict=True):
            if vote > 0:
                scores[np.arange(len(x)), np.asarray(learner.predict(x))] += vote
        scores /= self.votes.sum()
        return scores


def tradaboost(
    source: Float[np.ndarray, "n d"],
    y_source: Int[np.ndarray, " n"],
    target: Float[np.ndarray, "m d"],
    y_target: Int[np.ndarray, " m"],
    *,
    learner: Callable[[], Learner],
    rounds: Count,
    classes: int,
) -> Boosted:
    r"""TrAdaBoost: boosting on a few labelled target samples and the source samples that agree.

    .. math::
        \epsilon_t = \frac{\sum_{i \in T} w_i [h_t(x_i) \ne y_i]}{\sum_{i \in T} w_i}, \qquad
        \beta_t = \frac{\epsilon_t}{(1 - \epsilon_t) (k - 1)}, \qquad
        \beta = \frac{1}{1 + \sqrt{2 \ln n / N}}

    A round's learner is fitted to all samples as they are weighted. A target sample it has wrong
    then counts :math:`1 / \beta_t` times as much, as in AdaBoost; a source sample :math:`\beta`
    times, so that samples which contradict the target are forgotten. Of N rounds the learners from
    the :math:`\lceil N / 2 \rceil`-th on vote, each with :math:`\ln 1 / \beta_t`.

    Dai et al., "Boosting for Transfer Learning", ICML 2007, algorithm 1.
    https://doi.org/10.1145/1273496.1273521
    Departures: the paper has two classes, for which this is its rule but for ties; the k - 1 of
    more is that of SAMME (Zhu et al., "Multi-class AdaBoost", Statistics and Its Interface 2009,
    https://doi.org/10.4310/SII.2009.v2.n3.a8). A learner no better than chance on the target, for
    which the paper is not defined, moves no target sample and has no vote, and the source's go on
    to shrink; one without a mistake there is taken to have half a sample wrong, or its vote would
    be infinite.

    Args:
        source, y_source: samples and labels of the source; each begins with weight 1 / n.
        target, y_target: those of the few labelled target samples; each begins with weight 1 / m.
        learner: makes a weak learner, anew each round.
        rounds: N.
        classes: k; labels are below it.

    Raises:
        InputError: a domain without samples.
    """
    n, m = len(source), len(target)
    if min(n, m) < 1:
        raise InputError(f"TrAdaBoost needs labelled rows of both domains, but got {n} and {m}")
    x, y = np.concatenate([source, target]), np.concatenate([y_source, y_target])
    forget = 1 / (1 + sqrt(2 * log(n) / rounds))
    chance = 1 - 1 / classes
    weights = np.repeat([1 / n, 1 / m], [n, m])
    learners, votes, history = [], np.zeros(rounds), [weights]
    for t in range(rounds):
        fitted = learner()
        fitted.fit(x, y, sample_weight=weights / weights.sum())
        learners.append(fitted)
        wrong = np.asarray(fitted.predict(x)) != y
        error = weights[n:] @ wrong[n:] / weights[n:].sum()
        error = min(max(error, min(0.5 / m, chance)), chance)
        shrink = error / (1 - error) / (classes - 1)
        factor = np.where(np.arange(n + m) < n, forget, 1 / shrink)
        weights = np.where(wrong, weights * factor, weights)
        history.append(weights)
        if t + 1 >= ceil(rounds / 2):
            votes[t] = -log(shrink)
    if not votes.any():  # nobody knows better: all are asked
        votes[ceil(rounds / 2) - 1 :] = 1.0
    return Boosted(tuple(learners), votes, np.stack(history), classes)
