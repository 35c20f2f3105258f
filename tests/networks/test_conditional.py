import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from da_framework.networks.conditional import MultilinearMap, RandomizedMap, conditional_map


def pair(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 4, generator=generator), torch.randn(6, 3, generator=generator).softmax(1)


def test_the_multilinear_map_is_the_outer_product_of_each_row() -> None:
    features, p = pair()
    joined = MultilinearMap(4, 3)(features, p)
    for row in range(6):
        assert_close(joined[row], torch.outer(features[row], p[row]).flatten())


def test_the_randomised_map_keeps_inner_products_in_expectation() -> None:
    torch.manual_seed(0)
    features, p = pair()
    whole = MultilinearMap(4, 3)(features, p)
    joined = RandomizedMap(4, 3, width=200_000)(features, p)
    assert_close(joined @ joined.T, whole @ whole.T, atol=0.05, rtol=0.05)


def test_the_random_matrices_are_drawn_once_and_saved() -> None:
    joined = RandomizedMap(4, 3, width=5)
    assert set(joined.state_dict()) == {"of_features", "of_predictions"}
    assert not list(joined.parameters())
    assert torch.equal(joined(*pair()), joined(*pair()))


@pytest.mark.parametrize(("limit", "kind"), [(12, MultilinearMap), (11, RandomizedMap)])
def test_the_map_is_randomised_above_a_width(limit: int, kind: type) -> None:
    built = conditional_map(4, 3, limit=limit)
    assert type(built) is kind
    assert built(*pair()).shape == (6, built.width)
    assert built.width == limit
