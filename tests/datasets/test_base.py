import re
from collections.abc import Mapping
from time import process_time
from typing import Any, Unpack

import numpy as np
import pytest

from da_framework.core.errors import InputError
from da_framework.core.labels import UNLABELLED
from da_framework.datasets.base import Array, Dataset, Domain, Roles, hide_labels
from tests.datasets.roles import INDUCTIVE

NAMES = ("art", "photo", "sketch")


class Toy(Dataset):
    classes: tuple[str, ...] = ("cat", "dog", "owl")
    names = NAMES

    def __init__(self, domains: Mapping[str, Domain], **roles: Unpack[Roles]) -> None:
        super().__init__(**roles)
        self.given = domains

    def load(self, name: str) -> Domain:
        return self.given[name]


def domain(per_class: tuple[int, int, int] = (60, 30, 10), *, tested: int = 0) -> Domain:
    y = np.repeat(np.arange(3), per_class)
    x = np.arange(len(y), dtype=np.float32)[:, None]
    test = np.arange(len(y)) % (len(y) // tested) == 0 if tested else None
    return Domain(x, y, test)


def toy(domains: Mapping[str, Domain] | None = None, **roles: Any) -> Toy:
    given: dict[str, Any] = {
        **INDUCTIVE,
        "batch_size": {"source": 8, "target": 8},
    }
    return Toy(domains or {name: domain() for name in NAMES}, **(given | roles))


def official(given: Domain) -> list[int]:
    assert given.test is not None
    return np.flatnonzero(given.test).tolist()


def rows(parts: Any, name: str) -> list[int]:
    numbers: list[int] = [
        row for part in parts if part.domain == name for row in part.rows.tolist()
    ]
    return numbers


def splits(dataset: Dataset) -> dict[str, list[int]]:
    split = dataset.split_roles()
    groups = {f"train {role}": parts for role, parts in split.train.items()}
    groups |= {f"validation {role}": parts for role, parts in split.validation.items()}
    groups["test"] = split.test
    return {
        f"{group} {part.domain}": part.rows.tolist()
        for group, parts in groups.items()
        for part in parts
    }


def test_every_row_of_the_source_has_one_role_and_its_label() -> None:
    split = toy().split_roles()
    train, validation = rows(split.train["source"], "art"), split.validation["source"]
    assert sorted(train + rows(validation, "art")) == list(range(100))
    assert all(part.labelled for part in (*split.train["source"], *validation))


def test_source_validation_keeps_the_shares_of_the_classes() -> None:
    dataset = toy()
    held_out = rows(dataset.split_roles().validation["source"], "art")
    assert np.bincount(dataset["art"].y[held_out]).tolist() == [12, 6, 2]


def test_every_row_of_an_inductive_target_has_one_role_and_no_label() -> None:
    split = toy().split_roles()
    parts = (*split.train["target"], *split.validation["target"], *split.test)
    assert [len(part.rows) for part in parts] == [56, 14, 30]
    assert sorted(rows(parts, "photo")) == list(range(100))
    assert not any(part.labelled for part in parts)
    assert "target_labelled" not in split.train


def test_an_official_test_part_is_the_test() -> None:
    domains = {name: domain(tested=20) for name in NAMES}
    dataset = toy(domains)
    split = dataset.split_roles()
    tested = official(domains["photo"])
    assert rows(split.test, "photo") == tested
    assert not set(rows(split.train["target"], "photo")) & set(tested)
    seen = rows(split.train["source"], "art") + rows(split.validation["source"], "art")
    assert not set(seen) & set(official(domains["art"]))


@pytest.mark.parametrize("tested", [0, 20])
def test_a_transductive_target_is_trained_on_whole_and_tested_on(tested: int) -> None:
    domains = {name: domain(tested=tested) for name in NAMES}
    split = toy(domains, protocol="transductive").split_roles()
    assert rows(split.train["target"], "photo") == list(range(100))
    assert len(rows(split.test, "photo")) == (tested or 100)
    assert rows(split.validation["target"], "photo") == rows(split.test, "photo")


def test_the_split_of_a_target_does_not_look_at_its_labels() -> None:
    shuffled = domain()._replace(y=np.random.default_rng(1).permutation(domain().y))
    assert not np.array_equal(shuffled.y, domain().y)
    for protocol in ("inductive", "transductive"):
        before = toy(protocol=protocol)
        after = toy({"art": domain(), "photo": shuffled}, protocol=protocol)
        assert splits(before) == splits(after)


@pytest.mark.parametrize("protocol", ["inductive", "transductive"])
@pytest.mark.parametrize("tested", [0, 20])
def test_the_few_labelled_rows_leave_the_target_and_every_evaluation(
    protocol: str, tested: int
) -> None:
    domains = {name: domain(tested=tested) for name in NAMES}
    dataset = toy(domains, protocol=protocol, labels_per_class=3)
    split = dataset.split_roles()
    (few,) = split.train["target_labelled"]
    assert few.labelled
    assert np.bincount(dataset["photo"].y[few.rows]).tolist() == [3, 3, 3]
    others = (*split.train["target"], *split.validation["target"], *split.test)
    assert not set(rows(others, "photo")) & set(few.rows.tolist())


def test_all_labels_make_the_training_rows_labelled_and_leave_the_rest() -> None:
    none, every = toy().split_roles(), toy(labels_per_class="all").split_roles()
    assert rows(every.train["target_labelled"], "photo") == rows(none.train["target"], "photo")
    assert "target" not in every.train
    assert rows(every.test, "photo") == rows(none.test, "photo")


def test_the_split_seed_alone_decides() -> None:
    assert splits(toy()) == splits(toy(batch_size={"source": 1, "target": 1}))
    assert splits(toy()) != splits(toy(split_seed=1))


def test_several_sources_and_targets_come_in_order() -> None:
    dataset = toy(source=["sketch", "art"], target=["photo"])
    assert dataset.domains == ("sketch", "art", "photo")
    assert [part.domain for part in dataset.split_roles().train["source"]] == ["sketch", "art"]
    assert toy(target=None).target == ("photo", "sketch")
    assert toy(source=[]).split_roles().train.keys() == {"target"}


def test_a_domain_is_split_alike_next_to_any_other() -> None:
    alone, together = splits(toy()), splits(toy(source=["sketch", "art"]))
    assert alone["train source art"] == together["train source art"]
    assert alone["train source art"] != together["train source sketch"]


def test_hidden_labels_are_no_class() -> None:
    assert hide_labels(np.array([0, 1, 2])).tolist() == [UNLABELLED] * 3
    assert UNLABELLED not in range(3)


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"source": ["arts"]}, "dataset.source has 'arts'.*art, photo, sketch"),
        ({"target": ["fotos"]}, "dataset.target has 'fotos'.*art, photo, sketch"),
        ({"source": ["art", "art"]}, "dataset.source names a domain twice: art, art"),
        ({"source": ["art", "photo"]}, "photo is source and target at once"),
        ({"target": []}, "dataset.target is empty"),
        ({"source": list(NAMES), "target": None}, "dataset.target is empty"),
    ],
)
def test_impossible_domains_are_refused(roles: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        toy(**roles)


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        (
            {"labels_per_class": 9},
            "labels_per_class=9, but photo has only [0-9] training samples of class owl",
        ),
        (
            {"labels_per_class": "all", "protocol": "transductive"},
            "dataset.labels_per_class=all takes them all; dataset.protocol=inductive",
        ),
        ({"test": 0.0}, r"dataset.test=0.0 of 100 samples; raise it"),
    ],
)
def test_impossible_splits_are_refused(roles: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        toy(**roles).split_roles()


def with_x(x: Array) -> Domain:
    return domain()._replace(x=x)


def with_label(label: int) -> Domain:
    y = domain().y
    y[7] = label
    return domain()._replace(y=y)


def with_value(value: float) -> Domain:
    x = domain().x
    x[[7, 9]] = value
    return with_x(x)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Domain(np.zeros((0, 1), np.float32), np.zeros(0, np.int64)), "domain photo is empty"),
        (with_x(np.zeros((99, 1), np.float32)), "99 inputs but 100 labels"),
        (with_value(np.nan), r"row 7 of photo is NaN or infinite \(2 such rows\)"),
        (with_value(-np.inf), r"row 7 of photo is NaN or infinite \(2 such rows\)"),
        (with_label(3), r"row 7 of photo has the label 3; labels are 0 to 2 \(cat, dog, owl\)"),
        (with_label(-1), "row 7 of photo has the label -1"),
        (
            domain()._replace(classes=("cat", "owl", "dog")),
            "classes of photo are cat, owl, dog, but the data set's are cat, dog, owl",
        ),
        (
            with_x(np.zeros((100, 1, 2), np.float32)),
            re.escape("inputs of photo have the shape (1, 2), those of art (1,): bring images to"),
        ),
    ],
)
def test_a_broken_domain_is_refused(broken: Domain, message: str) -> None:
    with pytest.raises(InputError, match=message):
        toy({"art": domain(), "photo": broken}).split_roles()


def test_a_domain_is_read_once_and_generated_ones_say_so() -> None:
    dataset = toy()
    assert dataset["art"] is dataset["art"]
    assert dataset.fingerprint("art") == "generated"


class ManyClasses(Toy):
    classes = tuple(f"class {number}" for number in range(20_000))


def test_the_time_does_not_grow_with_the_square_of_the_classes() -> None:
    y = np.repeat(np.arange(20_000), 3)
    x = np.zeros((len(y), 1), np.float32)
    keys: dict[str, Any] = {**INDUCTIVE, "batch_size": {"source": 8, "target": 8}}
    keys |= {"source": ["art"], "target": ["photo"], "val": 0.3, "labels_per_class": 1}
    keys["source_classes"] = [name for name in ManyClasses.classes if name.endswith("7")]
    dataset = ManyClasses({"art": Domain(x, y, None), "photo": Domain(x, y, None)}, **keys)
    begun = process_time()
    with pytest.raises(InputError, match="labels_per_class=1"):  # not all of three are left
        dataset.split_roles()
    assert len(dataset.known) == 2_000
    assert len(dataset.unknown) == 18_000
    assert len(np.unique(dataset.task_labels(y))) == 2_001
    dataset.labels_per_class = 0
    assert len(rows(dataset.split_roles().validation["source"], "art")) == 2_000
    assert process_time() - begun < 5  # of which a tenth is taken
