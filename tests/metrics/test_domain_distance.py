import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import add_dummy_feature

from da_framework.core.batch import Outputs
from da_framework.metrics.domain_distance import (
    domain_accuracy,
    domain_mmd,
    logistic_domain_accuracy,
)
from da_framework.validators import mmd as validators


def sides(n: int, m: int, *, shift: float = 1.0, unit: float = 1.0) -> tuple[Outputs, Outputs]:
    """Outputs of two sides, of which the features alone are of interest."""
    draws = torch.Generator().manual_seed(n + m)

    def side(rows: int, shift: float) -> Outputs:
        nothing = torch.zeros(rows, dtype=torch.int64)
        features = unit * (torch.randn(rows, 3, generator=draws) + shift)
        return Outputs(torch.zeros(rows, 2), nothing, nothing, nothing, features, features)

    return side(n, 0.0), side(m, shift)


def test_the_distance_is_the_mmd_that_a_validator_scores() -> None:
    source, target = sides(40, 30)
    outputs = {"source": source, "target": target}
    factors = [0.25, 0.5, 1.0, 2.0, 4.0]
    assert domain_mmd(source, target) == pytest.approx(
        -validators.mmd(outputs, factors=factors), abs=1e-5
    )
    assert domain_mmd(*sides(40, 30, shift=3.0)) > domain_mmd(*sides(40, 30)) > 0


@pytest.mark.parametrize("unit", [1e-30, 1e-6, 1e6, 1e30])
def test_the_distance_has_no_unit(unit: float) -> None:
    assert domain_mmd(*sides(40, 30, unit=unit)) == pytest.approx(
        domain_mmd(*sides(40, 30)), rel=1e-4
    )


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_features_that_are_all_equal_are_no_distance_apart(value: float) -> None:
    source, target = (
        side._replace(features=torch.full_like(side.features, value)) for side in sides(5, 4)
    )
    assert domain_mmd(source, target) == pytest.approx(0, abs=1e-7)  # sums of weights to rounding


def test_the_distance_of_many_rows_is_that_of_the_same_few_from_everywhere() -> None:
    # as in a file in order of class: the first rows are not like the others
    source, target = (
        side._replace(features=side.features.sort(0).values) for side in sides(400, 300)
    )
    state = torch.get_rng_state()
    few = domain_mmd(source, target, rows=200)
    assert torch.equal(torch.get_rng_state(), state)
    assert few == domain_mmd(source, target, rows=200)
    assert few != domain_mmd(source, target)
    assert few == pytest.approx(domain_mmd(source, target), rel=0.25)
    first = (side._replace(features=side.features[:200]) for side in (source, target))
    assert domain_mmd(*first) != pytest.approx(few, rel=0.25)


def test_domain_accuracy_is_what_a_line_between_the_domains_gets_right() -> None:
    draws = torch.Generator().manual_seed(0)
    source, target = torch.randn(2, 600, 3, generator=draws)
    assert abs(domain_accuracy(source, target, rows=600) - 0.5) < 0.06
    # two standard deviations apart: Φ(1)
    assert abs(domain_accuracy(source, target + torch.eye(3)[0] * 2, rows=600) - 0.841) < 0.04
    assert domain_accuracy(source, target[:40] + 1e6, rows=600) == 1.0
    assert domain_accuracy(1e-9 * source, 1e-9 * target + 1e-7, rows=600) == 1.0
    same = torch.zeros(9, 3)
    assert 0 <= domain_accuracy(same, same, rows=600) <= 0.5
    wide = torch.randn(20, 300, generator=draws)
    assert 0 <= domain_accuracy(wide[:10], wide[10:], rows=600) <= 1


def test_domain_accuracy_of_many_columns_is_the_ridge_regressions() -> None:
    torch.manual_seed(0)
    source, target = torch.randn(30, 80).double(), torch.randn(50, 80).double() + 0.1
    draws = torch.Generator().manual_seed(0)
    (s, s_held), (t, t_held) = (
        own[torch.randperm(len(own), generator=draws)].tensor_split(2) for own in (source, target)
    )
    centre = (s.mean(0) + t.mean(0)) / 2
    scale = (torch.cat([s, t]) - centre).square().mean().sqrt()
    fitted = Ridge(alpha=1e-3, fit_intercept=False).fit(
        add_dummy_feature((torch.cat([s, t]) - centre) / scale),
        [1] * len(s) + [-1] * len(t),
        sample_weight=[1 / len(s)] * len(s) + [1 / len(t)] * len(t),
    )
    scores = [fitted.predict(add_dummy_feature((own - centre) / scale)) for own in (s_held, t_held)]
    expected = ((scores[0] > 0).mean() + (scores[1] < 0).mean()) / 2
    assert 0.5 < expected < 1
    assert domain_accuracy(source, target, rows=99) == pytest.approx(expected)


def test_logistic_domain_accuracy_is_chance_for_equal_domains_and_1_for_distant_ones() -> None:
    draws = torch.Generator().manual_seed(0)
    source, target = torch.randn(2, 600, 3, generator=draws)
    assert abs(logistic_domain_accuracy(source, target) - 0.5) < 0.06
    # two standard deviations apart: Φ(1)
    assert abs(logistic_domain_accuracy(source, target + torch.eye(3)[0] * 2) - 0.841) < 0.04
    assert logistic_domain_accuracy(source, target[:40] + 1e6) == 1.0
