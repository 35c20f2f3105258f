from itertools import pairwise

import pytest

from da_framework.core.seeding import fold, mix


def test_one_number_is_splitmix64_s_first_output() -> None:
    # the generator's published first outputs from states 0 and 1234567, without the lowest bit
    assert mix(0) == 0xE220A8397B1DCDAF >> 1
    assert mix(1234567) == 6457827717110365317 >> 1


@pytest.mark.parametrize(
    ("parts", "seed"),
    [
        ((1, "network"), 8088476889834645122),
        ((1, "method"), 2446011408495599806),
        ((3, 14, 15), 8756242555766190535),
        ((-1,), 8245168133484221968),
    ],
)
def test_seeds_are_those_of_recorded_results(parts: tuple[int | str, ...], seed: int) -> None:
    assert mix(*parts) == seed


def test_what_is_folded_in_before_gives_the_same_seed() -> None:
    assert fold(fold(0, 5, "step"), 7, 1) >> 1 == mix(5, "step", 7, 1)


def test_order_names_and_number_of_parts_count() -> None:
    seeds = [mix(1, 2), mix(2, 1), mix(1), mix(1, 2, 0), mix("1", 2), mix("a", "b"), mix("ab")]
    assert len(set(seeds)) == len(seeds)


def test_a_hundred_thousand_steps_and_ranks_collide_nowhere() -> None:
    seeds = {
        mix(seed, step, rank) for seed in (1, 2) for step in range(12_500) for rank in range(4)
    }
    assert len(seeds) == 100_000


def test_neighbours_differ_in_half_of_their_bits() -> None:
    flips = [(mix(1, a) ^ mix(1, b)).bit_count() for a, b in pairwise(range(2000))]
    assert sum(flips) / len(flips) == pytest.approx(31.5, abs=0.5)
    assert min(flips) > 10


def test_seeds_fill_the_range_torch_accepts() -> None:
    seeds = [mix(i) for i in range(4096)]
    assert min(seeds) >= 0
    assert 2**62 < max(seeds) < 2**63
    for bit in range(63):
        ones = sum(seed >> bit & 1 for seed in seeds)
        assert ones == pytest.approx(2048, abs=160), f"bit {bit}"
