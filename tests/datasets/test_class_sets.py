from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import pytest
import torch

from da_framework.core.batch import UNLABELLED
from da_framework.core.errors import InputError
from da_framework.datasets.base import Dataset, Domain, Roles
from da_framework.datasets.datamodule import Domains
from tests.datasets.roles import INDUCTIVE

SIZES = {"art": 60, "photo": 75}


class Zoo(Dataset):
    """Of four classes in turn; an input is its row's label and number."""

    classes = ("cat", "dog", "owl", "yak")
    names = tuple(SIZES)

    def __init__(self, shuffled: bool, **roles: Unpack[Roles]) -> None:
        super().__init__(**roles)
        self.shuffled = shuffled

    def load(self, name: str) -> Domain:
        y = np.arange(SIZES[name]) % 4
        x = np.stack([y, np.arange(len(y))], axis=1).astype(np.float32)
        if self.shuffled and name in self.target:
            allowed = np.isin(
                y, [self.classes.index(c) for c in self._chosen_classes("target_classes")]
            )
            y[allowed] = np.random.default_rng(0).permutation(y[allowed])
        return Domain(x, y)


def zoo(
    source_classes: list[str] | None = None,
    target_classes: list[str] | None = None,
    *,
    shuffled: bool = False,
    **roles: Any,
) -> Zoo:
    given: dict[str, Any] = {
        **INDUCTIVE,
        "batch_size": {"source": 8, "target": 6, "target_labelled": 4},
        "source_classes": source_classes,
        "target_classes": target_classes,
    }
    return Zoo(shuffled, **(given | roles))


def domains(dataset: Dataset) -> Domains:
    roles = ["source", "target"] + ["target_labelled"] * (dataset.labels_per_class != 0)
    return Domains(dataset, roles, seed=3)


def true(x: torch.Tensor) -> list[str]:
    """The class names of rows, as their inputs tell."""
    return [Zoo.classes[int(label)] for label in x[:, 0].tolist()]


PARTIAL = (None, ["dog", "owl"])
OPEN = (["cat", "owl"], None)
UNIVERSAL = (["cat", "dog", "owl"], ["owl", "dog", "yak"])
SETS = [(None, None), PARTIAL, OPEN, UNIVERSAL]


@pytest.mark.parametrize("sets", SETS)
@pytest.mark.parametrize("protocol", ["inductive", "transductive"])
def test_every_role_has_the_rows_of_its_classes_and_no_others(sets: Any, protocol: str) -> None:
    data = domains(zoo(*sets, protocol=protocol))
    learnt, met = (set(given or Zoo.classes) for given in sets)
    for samples in (data.train["source"], data.validation["source"]):
        assert set(true(samples.x)) == learnt
    for samples in (data.train["target"], data.validation["target"], data.test):
        assert set(true(samples.x)) == met
    parts = {
        "source": [data.train["source"], data.validation["source"]],
        "target": [data.train["target"], data.validation["target"], data.test],
    }
    for role, name, classes in (("source", "art", learnt), ("target", "photo", met)):
        numbers = {int(n) for part in parts[role] for n in part.x[:, 1]}
        # every fourth row is of the same class, and none of the chosen classes' is lost
        expected = {n for n in range(SIZES[name]) if Zoo.classes[n % 4] in classes}
        assert numbers == expected


@pytest.mark.parametrize("sets", SETS)
def test_labels_are_positions_in_the_task_and_the_unknown_is_one_more(sets: Any) -> None:
    data = domains(zoo(*sets))
    classes = data.task.classes
    assert classes == tuple(name for name in Zoo.classes if name in (sets[0] or Zoo.classes))
    for samples in (data.train["source"], data.validation["source"], data.batch(0)["source"]):
        assert [classes[label] for label in samples.y.tolist()] == true(samples.x)
    expected = [
        classes.index(name) if name in classes else len(classes) for name in true(data.test.x)
    ]
    assert data.oracle.tolist() == expected
    assert (len(classes) in expected) == (sets in (OPEN, UNIVERSAL))


def test_several_unknown_classes_are_one_label() -> None:
    dataset = zoo(["dog"], None)
    assert dataset.known == ("dog",)
    assert dataset.unknown == ("cat", "owl", "yak")
    assert dataset.task_labels(np.arange(4)).tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize("given", [["owl", "cat"], ["cat", "owl"]])
def test_the_order_in_which_classes_are_named_changes_nothing(given: list[str]) -> None:
    data, other = domains(zoo(["cat", "owl"], ["cat", "owl"])), domains(zoo(given, given))
    assert data.task == other.task
    for mine, its in zip(data.batch(0).values(), other.batch(0).values(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, its, strict=True))


@pytest.mark.parametrize("protocol", ["inductive", "transductive"])
@pytest.mark.parametrize("labels", [2, "all"])
def test_labels_are_given_away_for_known_classes_alone(labels: Any, protocol: str) -> None:
    data = domains(zoo(*UNIVERSAL, labels_per_class=labels, protocol=protocol))
    few = data.train["target_labelled"]
    assert set(true(few.x)) == {"dog", "owl"}
    assert [data.task.classes[label] for label in few.y.tolist()] == true(few.x)
    if labels == 2:
        assert few.y.bincount(minlength=3).tolist() == [0, 2, 2]
    given = set(few.x[:, 1].tolist())
    for samples in (data.train["target"], data.validation["target"], data.test):
        assert not given & set(samples.x[:, 1].tolist())
        assert "yak" in true(samples.x)


@pytest.mark.parametrize("protocol", ["inductive", "transductive"])
@pytest.mark.parametrize("labels", [0, 2])
def test_naming_every_class_splits_as_naming_none(protocol: str, labels: int) -> None:
    every = list(Zoo.classes)
    split = zoo(None, None, protocol=protocol, labels_per_class=labels).split_roles()
    other = zoo(every, every, protocol=protocol, labels_per_class=labels).split_roles()

    def flat(parts: Sequence[Any]) -> list[Any]:
        return [(part.domain, part.rows.tolist(), part.labelled) for part in parts]

    for mine, its in ((split.train, other.train), (split.validation, other.validation)):
        assert {role: flat(parts) for role, parts in mine.items()} == {
            role: flat(parts) for role, parts in its.items()
        }
    assert flat(split.test) == flat(other.test)


@pytest.mark.parametrize("key", ["source_classes", "target_classes"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["cat", "cow"], "'cow', which is no class here; the classes are cat, dog, owl, yak"),
        (["cat", "owl", "cat"], "is empty or names a class twice"),
        ([], "is empty or names a class twice"),
    ],
)
def test_wrong_names_are_refused(key: str, given: list[str], message: str) -> None:
    with pytest.raises(InputError, match=rf"dataset\.{key}.*{message}"):
        zoo(**{key: given})  # type: ignore[arg-type]


@pytest.mark.parametrize("sets", SETS)
@pytest.mark.parametrize("protocol", ["inductive", "transductive"])
def test_target_labels_stop_at_the_door(sets: Any, protocol: str) -> None:
    data = domains(zoo(*sets, protocol=protocol))
    for samples in (data.train["target"], data.validation["target"], data.test):
        assert (samples.y == UNLABELLED).all()
    assert (data.batch(0)["target"].y == UNLABELLED).all()


@pytest.mark.parametrize("sets", SETS)
def test_labels_say_which_target_rows_there_are_and_nothing_else(sets: Any) -> None:
    data, other = domains(zoo(*sets)), domains(zoo(*sets, shuffled=True))
    assert not torch.equal(data.oracle, other.oracle)
    for role, samples in data.train.items():
        assert all(torch.equal(a, b) for a, b in zip(samples, other.train[role], strict=True))
    assert torch.equal(data.test.x, other.test.x)
    assert torch.equal(data.validation["target"].x, other.validation["target"].x)


# label shift


@pytest.mark.parametrize("protocol", ["inductive", "transductive"])
def test_label_shift_leaves_rows_out_until_the_shares_are_as_drawn(protocol: str) -> None:
    def counted(alpha: float | None) -> Any:
        dataset = zoo(label_shift=alpha, protocol=protocol, val=0.0 if protocol[0] == "t" else 0.2)
        split = dataset.split_roles()
        parts = [*split.train["target"], *split.validation["target"], *split.test]
        rows = np.unique(np.concatenate([part.rows for part in parts]))
        return np.bincount(dataset["photo"].y[rows], minlength=4)

    even = counted(None)
    assert even.tolist() == [19, 19, 19, 18]
    shifted = counted(0.5)
    assert (shifted <= even).all()
    assert (shifted == even).any()  # no more is left out than must be
    shares = zoo().domain_splitter("photo").make_generator("label shift").dirichlet([0.5] * 4)
    np.testing.assert_allclose(shifted / shifted.sum(), shares, atol=0.03)
    assert np.abs(counted(1e6) - even).max() <= 1
    assert counted(0.001).tolist().count(0) == 3


def test_label_shift_is_of_the_split_seed_and_of_a_target_alone() -> None:
    def rows(**keys: Any) -> Any:
        return [part.rows.tolist() for part in zoo(label_shift=0.5, **keys).split_roles().test]

    assert rows() == rows()
    assert rows() != rows(split_seed=1)
    plain, shifted = (zoo(label_shift=alpha).split_roles() for alpha in (None, 0.5))
    for part, other in zip(plain.train["source"], shifted.train["source"], strict=True):
        np.testing.assert_array_equal(part.rows, other.rows)


@pytest.mark.parametrize("protocol", ["inductive", "transductive"])
def test_the_few_labelled_rows_are_among_those_that_are_left(protocol: str) -> None:
    keys: dict[str, Any] = {"protocol": protocol, "val": 0.0} if protocol[0] == "t" else {}
    dataset = zoo(label_shift=2.0, labels_per_class=1, **keys)
    left = set(dataset.domain_splitter("photo").target_rows().tolist())
    assert {*dataset.split_roles().train["target_labelled"][0].rows.tolist()} <= left


def source_rows(**keys: Any) -> np.ndarray[Any, Any]:
    split = zoo(**keys).split_roles()
    return np.concatenate([split.train["source"][0].rows, split.validation["source"][0].rows])


def test_of_a_source_so_many_samples_of_each_class_are_drawn() -> None:
    """Of 60 samples, 15 of each class, some are drawn: the target keeps all of its own."""
    drawn = source_rows(source_per_class=10)
    assert np.bincount(drawn % 4).tolist() == [10] * 4
    assert len(np.unique(drawn)) == 40
    assert np.bincount(source_rows(source_per_class=20) % 4).tolist() == [15] * 4
    assert sorted(drawn) == sorted(source_rows(source_per_class=10))
    assert sorted(drawn) != sorted(source_rows(source_per_class=10, split_seed=1))
    assert np.bincount(
        source_rows(source_per_class=3, source_classes=["dog", "yak"]) % 4
    ).tolist() == [0, 3, 0, 3]
    plain, few = (zoo(source_per_class=count).split_roles() for count in (None, 10))
    for role in ("train", "validation"):
        pair = (getattr(split, role)["target"][0].rows for split in (plain, few))
        np.testing.assert_array_equal(*pair)
    # of the drawn, a fifth of every class is held out
    held_out = few.validation["source"][0].rows
    assert np.bincount(held_out % 4).tolist() == [2] * 4


def test_so_many_samples_of_a_domain_are_drawn_whatever_their_class() -> None:
    """The target without a test part of its own loses some before its test is held out."""
    drawn = source_rows(training_samples={"art": 40})
    assert len(np.unique(drawn)) == 40
    assert len(np.unique(np.bincount(drawn % 4))) > 1  # classes are not counted
    assert sorted(drawn) == sorted(source_rows(training_samples={"art": 40}))
    assert sorted(drawn) != sorted(source_rows(training_samples={"art": 40}, split_seed=1))
    plain, few = (zoo(training_samples=given).split_roles() for given in (None, {"photo": 50}))
    np.testing.assert_array_equal(plain.train["source"][0].rows, few.train["source"][0].rows)
    parts = [few.train["target"][0].rows, few.validation["target"][0].rows, few.test[0].rows]
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts)) == 50
    with pytest.raises(InputError, match=r"training_samples.art=61, but art has only 60"):
        source_rows(training_samples={"art": 61})
    with pytest.raises(InputError, match=r"training_samples has 'fur', which is no domain here"):
        zoo(training_samples={"fur": 1})


def test_an_official_test_part_stays_whole_where_samples_are_drawn() -> None:
    class Official(Zoo):
        def load(self, name: str) -> Domain:
            domain = super().load(name)
            return domain._replace(test=np.arange(len(domain.y)) >= 45)

    def split(**roles: Any) -> Any:
        return Official(False, **{**INDUCTIVE, "batch_size": {"source": 8, "target": 6}, **roles})

    whole, few = (
        split(training_samples=given).split_roles() for given in (None, {"art": 20, "photo": 30})
    )
    np.testing.assert_array_equal(whole.test[0].rows, few.test[0].rows)
    both = [*few.train["target"], *few.validation["target"]]
    assert sum(len(part.rows) for part in both) == 30
    source = [*few.train["source"], *few.validation["source"]]
    assert sum(len(part.rows) for part in source) == 20
    assert max(np.concatenate([part.rows for part in [*both, *source]])) < 45
