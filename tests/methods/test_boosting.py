import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from da_framework.methods.boosting import Boosted, tradaboost

stump = partial(DecisionTreeClassifier, max_depth=1, random_state=0)


class Told:
    """Predicts what it was told to, and remembers the weights it was given."""

    def __init__(self, says: Sequence[int]) -> None:
        self.says = np.array(says)

    def fit(self, x: Any, y: Any, *, sample_weight: Any) -> None:
        self.given = sample_weight

    def predict(self, x: Any) -> Any:
        return self.says[x[:, 0].astype(int)]


def told(*rounds: Sequence[int], classes: int = 2, y: Sequence[int] = (0,) * 8) -> Boosted:
    """Four source and four target rows, numbered; round t predicts what ``rounds[t]`` says."""
    x = np.arange(8.0)[:, None]
    labels = np.array(y)
    learners = iter([Told(says) for says in rounds])
    make: Callable[[], Told] = lambda: next(learners)  # noqa: E731
    return tradaboost(
        x[:4], labels[:4], x[4:], labels[4:], learner=make, rounds=len(rounds), classes=classes
    )


def test_two_rounds_are_those_computed_by_hand() -> None:
    # the first learner has source row 0 and target row 4 wrong, the second rows 0, 1 and 5
    actual = told([1, 0, 0, 0, 1, 0, 0, 0], [1, 1, 0, 0, 0, 1, 0, 0])
    b = 1 / (1 + math.sqrt(2 * math.log(4) / 2))
    first = 0.25 / 0.75
    # target weights after the first: 3/4, 1/4, 1/4, 1/4; of which the second has 1/6 wrong
    second = (1 / 6) / (5 / 6)
    quarter = 0.25
    expected = [
        [quarter] * 8,
        [quarter * b, *[quarter] * 3, quarter / first, *[quarter] * 3],
        [
            *(quarter * b**2, quarter * b, quarter, quarter),
            *(quarter / first, quarter / second, quarter, quarter),
        ],
    ]
    np.testing.assert_allclose(actual.weights, expected)
    np.testing.assert_allclose(actual.votes, [-math.log(first), -math.log(second)])
    for learner, weights in zip(actual.learners, actual.weights, strict=False):
        assert isinstance(learner, Told)
        np.testing.assert_allclose(learner.given, weights / weights.sum())
    # row 4: log 3 for class 1, log 5 for class 0
    shares = np.array([math.log(5), math.log(3)]) / math.log(15)
    np.testing.assert_allclose(actual.scores(np.array([[4.0]])), shares[None])


@pytest.mark.parametrize("rounds", [1, 3, 8])
def test_a_source_row_always_wrong_shrinks_by_beta_a_round(rounds: int) -> None:
    actual = told(*[[1, 0, 0, 0, 0, 0, 0, 0]] * rounds)
    beta = 1 / (1 + math.sqrt(2 * math.log(4) / rounds))
    np.testing.assert_allclose(actual.weights[:, 0], 0.25 * beta ** np.arange(rounds + 1))
    np.testing.assert_array_equal(actual.weights[:, 1:], 0.25)


def test_a_target_row_that_is_wrong_grows() -> None:
    actual = told([0] * 4 + [1, 0, 0, 0], [0] * 4 + [0, 1, 0, 0])
    assert actual.weights[1, 4] > actual.weights[0, 4]
    assert actual.weights[2, 5] > actual.weights[1, 5]
    # after its growth what was wrong weighs what was right, as in AdaBoost
    assert actual.weights[1, 4] == pytest.approx(actual.weights[1, 5:].sum())


def test_several_classes_are_those_of_samme() -> None:
    actual = told([0] * 4 + [1, 0, 0, 0], classes=3)
    assert actual.votes[0] == pytest.approx(math.log(3) + math.log(2))


def test_the_later_half_of_the_rounds_votes() -> None:
    votes = told(*[[0] * 4 + [1, 0, 0, 0]] * 5).votes
    np.testing.assert_array_equal(votes > 0, [False, False, True, True, True])


def test_no_better_than_chance_moves_no_target_row_and_says_nothing() -> None:
    actual = told([1, 0, 0, 0, 1, 1, 1, 0], [0] * 7 + [1])
    np.testing.assert_array_equal(actual.weights[1, 4:], actual.weights[0, 4:])
    assert actual.weights[1, 0] < actual.weights[0, 0]
    assert actual.votes[0] == 0 < actual.votes[1]


def test_where_nobody_knows_better_all_are_asked() -> None:
    actual = told(*[[1] * 8] * 4)
    np.testing.assert_array_equal(actual.scores(np.array([[0.0]])), [[0.0, 1.0]])


def test_without_a_mistake_the_vote_is_finite() -> None:
    assert told([0] * 8).votes[0] == pytest.approx(math.log(7))


def rows(seed: int, misleading: float = 0.3) -> tuple[np.ndarray[Any, Any], ...]:
    """A source which says the opposite of the target in a part of the plane."""
    random = np.random.default_rng(seed)
    x, few, many = (random.uniform(-1, 1, (size, 2)) for size in (200, 12, 500))
    y, y_few, y_many = ((z[:, 0] > 0).astype(int) for z in (x, few, many))
    opposite = x[:, 1] > 1 - 2 * misleading
    return x, np.where(opposite, 1 - y, y), few, y_few, many, y_many


def test_misleading_source_rows_are_forgotten() -> None:
    x, y, few, y_few, _, _ = rows(0, misleading=0.5)
    weights = tradaboost(x, y, few, y_few, learner=stump, rounds=30, classes=2).weights[-1, :200]
    right = (x[:, 0] > 0) == y
    assert np.median(weights[~right]) < 1e-3 * np.median(weights[right])


@pytest.mark.parametrize(("misleading", "fewer"), [(0.3, True), (0.7, False)])
def test_does_better_than_all_rows_alike_and_than_the_few(misleading: float, fewer: bool) -> None:
    """Than the few alone where most of the source is right."""
    accuracy = []
    for seed in range(5):
        x, y, few, y_few, many, y_many = rows(seed, misleading)
        both = np.concatenate([x, few]), np.concatenate([y, y_few])
        scores = tradaboost(x, y, few, y_few, learner=stump, rounds=30, classes=2).scores(many)
        rounds = [
            scores.argmax(1),
            *(stump().fit(*own).predict(many) for own in (both, (few, y_few))),
        ]
        accuracy.append([(own == y_many).mean() for own in rounds])
    boosted, alike, few_alone = np.mean(accuracy, axis=0)
    assert boosted > alike + 0.01
    assert not fewer or boosted > few_alone + 0.01


def test_is_deterministic_and_scores_are_shares() -> None:
    x, y, few, y_few, many, _ = rows(1)
    first, other = (
        tradaboost(x, y, few, y_few, learner=stump, rounds=9, classes=3) for _ in range(2)
    )
    np.testing.assert_array_equal(first.scores(many), other.scores(many))
    np.testing.assert_allclose(first.scores(many).sum(1), 1)


def test_one_row_of_each_is_enough_and_none_is_an_error() -> None:
    x, y, few, y_few, many, _ = rows(2)
    actual = tradaboost(x[:1], y[:1], few[:1], y_few[:1], learner=stump, rounds=3, classes=2)
    assert np.isfinite(actual.weights).all()
    assert np.isfinite(actual.scores(many)).all()
    with pytest.raises(ValueError, match="both domains, but got 200 and 0"):
        tradaboost(x, y, few[:0], y_few[:0], learner=stump, rounds=3, classes=2)
