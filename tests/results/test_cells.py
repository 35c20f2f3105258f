"""Cells: which numbers of a config follow the seed, over all runs that are otherwise alike."""

import shlex
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from da_framework.core.errors import InputError
from da_framework.results import cells
from da_framework.results.cells import (
    assign_cells,
    cell_settings,
    common_words,
    group_by_cell,
    setting_of,
    split_command,
    task_of,
)
from tests.run_records import table_record


def runs(seeds: Iterable[int], *, method: str = "dann", **keys: Callable[[int], Any]) -> list[Any]:
    """Runs with keys by seed; ``split_seed`` is the data set's."""
    records = []
    for seed in seeds:
        words = {
            ("dataset.split_seed" if key == "split_seed" else key): value(seed)
            for key, value in keys.items()
        }
        record = table_record(0.5, method=method, seed=seed)
        record["command"] += "".join(f" {key}={value}" for key, value in words.items())
        for key, value in words.items():
            owner = record["config"]["dataset"] if key.startswith("dataset.") else record["config"]
            owner[key.removeprefix("dataset.")] = value
        records.append(record)
    return records


def sizes(records: list[Any]) -> list[list[int]]:
    """The seeds of each cell."""
    return [sorted(cell) for cell in group_by_cell(records).values()]


SEEDS = (1, 2, 3)


@pytest.mark.parametrize("fixed", [0, 1, 2, 3, 11])
def test_a_fixed_number_that_equals_a_seed_tears_no_cell_apart(fixed: int) -> None:
    assert sizes(runs(SEEDS, split_seed=lambda _: fixed)) == [[1, 2, 3]]
    start = runs(SEEDS, init_from=lambda _: f"runs/mnist-seed_{fixed}")
    assert sizes(start) == [[1, 2, 3]]
    teachers = runs(SEEDS, teachers=lambda _: [f"runs/a-{fixed}", f"runs/b_{fixed}"])
    assert sizes(teachers) == [[1, 2, 3]]


def test_what_varies_as_the_seed_does_is_one_cell() -> None:
    assert sizes(runs(SEEDS, split_seed=lambda seed: seed)) == [[1, 2, 3]]
    assert sizes(runs(SEEDS, split_seed=lambda seed: 10 * seed)) == [[1, 2, 3]]
    assert sizes(runs(SEEDS, init_from=lambda seed: f"runs/2_layers-seed_{seed}")) == [[1, 2, 3]]
    # the name of a run ends in a hash, which changes with its seed
    hashes = ("1a2b3c4d", "12345678", "0badcafe")
    named = runs(SEEDS, init_from=lambda seed: f"runs/dann-seed_{seed}-{hashes[seed - 1]}")
    assert sizes(named) == [[1, 2, 3]]
    both = runs(SEEDS, teachers=lambda seed: [f"runs/a-{seed}", "runs/b-2"])
    assert sizes(both) == [[1, 2, 3]]


def test_values_of_a_key_are_cells_each_though_some_equal_seeds() -> None:
    grid = [record for value in SEEDS for record in runs(SEEDS, split_seed=lambda _, v=value: v)]  # type: ignore[misc]
    assert sizes(grid) == [[1, 2, 3]] * 3
    starts = [
        record
        for value in (1, 2)
        for record in runs(SEEDS, init_from=lambda _, v=value: f"runs/layers_{v}")  # type: ignore[misc]
    ]
    assert sizes(starts) == [[1, 2, 3]] * 2


def test_a_run_without_a_source_has_a_task_that_can_be_read() -> None:
    assert task_of(table_record(source=())) == "nothing → usps"


def test_other_starts_are_never_pooled_though_their_names_have_a_hash() -> None:
    first = runs((1,), init_from=lambda _: "runs/dann-1a2b3c4d")
    second = runs((2,), init_from=lambda _: "runs/dann-0badcafe")
    assert sizes([*first, *second]) == [[1], [2]]


def test_methods_that_draw_their_split_another_way_do_not_disturb_each_other() -> None:
    anew = runs(SEEDS, split_seed=lambda seed: seed)
    fixed = runs(SEEDS, method="mmd", split_seed=lambda _: 1)
    assert sizes([*anew, *fixed]) == [[1, 2, 3], [1, 2, 3]]
    # and are compared with those alone that did the same
    cells = assign_cells([*anew, *fixed, *runs(SEEDS, method="lower", split_seed=lambda s: s)])
    assert cells[0].rest == cells[-1].rest != cells[3].rest


def test_one_run_of_a_method_is_understood_as_the_others_are() -> None:
    several = runs(SEEDS, split_seed=lambda _: 1)
    alone = runs((1,), method="mmd", split_seed=lambda _: 1)
    cells = assign_cells([*several, *alone])
    assert cells[-1].rest == cells[0].rest


def test_the_same_seed_twice_is_refused() -> None:
    with pytest.raises(InputError, match="two runs of one config with seed 1"):
        group_by_cell([*runs((1,)), *runs((1,))])


def test_a_name_holds_what_tells_a_row_from_the_others_and_no_value_of_one_seed() -> None:
    records = runs(SEEDS, split_seed=lambda seed: seed, steps=lambda _: 9, lr=lambda _: 0.1)
    records += runs(SEEDS, split_seed=lambda seed: seed, steps=lambda _: 9, lr=lambda _: 0.2)
    common = common_words(records)
    assert common == ["steps=9", "validator=entropy"]
    settings = cell_settings(group_by_cell(records), [*common, "dataset.split_seed=*"])
    assert [*settings.values()] == [("lr=0.1",), ("lr=0.2",)]
    assert "dataset.split_seed=2" in setting_of(records[1])


@given(command=st.text(alphabet="ab=[],.'\"\\ \t\n\u00a0#$"))
def test_a_command_has_the_words_of_a_shell(command: str) -> None:
    try:
        expected = shlex.split(command)
    except ValueError:
        with pytest.raises(ValueError, match="No "):
            split_command(command)
    else:
        assert split_command(command) == expected


@pytest.mark.parametrize("over", ["", "seed", "dataset.split_seed"])
def test_cells_are_drafted_once_for_all_seeds(over: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drafted = []
    draft = cells.draft_config

    def count(record: Any, over: str) -> cells.Draft:
        drafted.append(record)
        return draft(record, over)

    monkeypatch.setattr(cells, "draft_config", count)
    assigned = assign_cells(runs(range(50), init_from=lambda _: "runs/dann"), over=over)
    assert len(drafted) == len({*assigned}) == (50 if over == "seed" else 1)
