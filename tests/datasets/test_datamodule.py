from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, Unpack

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from da_framework.core.batch import UNLABELLED, Batch, Samples
from da_framework.core.errors import InputError
from da_framework.datasets.base import Dataset, Domain, Roles
from da_framework.datasets.datamodule import Domains
from da_framework.datasets.streams import (
    BalancedSampler,
    EndlessLoader,
    EpochSampler,
    gathered_steps,
)
from tests.datasets.roles import INDUCTIVE

SIZES = {"art": 40, "photo": 30, "sketch": 15, "toys": 21}


class Toy(Dataset):
    """A row's input is its label and its number, so that it can be told wherever it turns up."""

    classes = ("cat", "dog", "owl")
    names = tuple(SIZES)

    widths: Mapping[str, int] = {}

    def __init__(self, kind: type[np.generic], tested: str, **roles: Unpack[Roles]) -> None:
        super().__init__(**roles)
        self.kind = kind
        self.tested = tested

    def load(self, name: str) -> Domain:
        number = np.arange(SIZES[name])
        y = (number * 7 + len(name)) % 3
        x = np.stack([y, number, np.full_like(y, self.names.index(name))], axis=1)
        x = np.pad(x, [(0, 0), (0, self.widths.get(name, 3) - 3)], constant_values=7)
        test = np.full(len(y), True) if name == self.tested else None
        return Domain(x.astype(self.kind), y.astype(np.int64), test)


def toy(*, kind: type[np.generic] = np.float32, tested: str = "", **roles: Any) -> Toy:
    given: dict[str, Any] = {
        **INDUCTIVE,
        "batch_size": {"source": 8, "target": 6, "target_labelled": 4},
    }
    return Toy(kind, tested, **(given | roles))


def domains(
    *needed: str, seed: int = 3, kind: type[np.generic] = np.float32, tested: str = "", **roles: Any
) -> Domains:
    dataset = toy(kind=kind, tested=tested, **roles)
    return Domains(dataset, needed or ("source", "target"), seed=seed)


def same(batch: Batch, other: Batch) -> bool:
    return batch.keys() == other.keys() and all(
        torch.equal(a, b) for a, b in zip(flat(batch), flat(other), strict=True)
    )


def flat(batch: Batch) -> list[Tensor]:
    return list(chain.from_iterable(batch.values()))


def epochs_of(data: Domains, role: str, domain: int, count: int) -> list[list[int]]:
    """Row numbers of a domain as they come, cut into epochs."""
    members = (data.train[role].domain == domain).sum().item()
    seen: list[int] = []
    step = 0
    while len(seen) < count * members:
        rows = data.batch(step)[role]
        seen += rows.row[rows.domain == domain].tolist()
        step += 1
    return [seen[i * int(members) : (i + 1) * int(members)] for i in range(count)]


def test_a_batch_is_the_same_from_another_object_and_out_of_order() -> None:
    data, other = domains(source=["art", "sketch"]), domains(source=["art", "sketch"])
    in_order = [data.batch(step) for step in range(25)]
    for step in (24, 3, 0, 17, 3):
        assert same(other.batch(step), in_order[step])
        assert same(data.batch(step), in_order[step])


def test_seeds_steps_and_roles_have_orders_of_their_own() -> None:
    data, other = domains(seed=3), domains(seed=4)
    assert not same(data.batch(0), other.batch(0))
    assert not same(data.batch(0), data.batch(1))
    samplers = [data.streams[role].samplers[0] for role in ("source", "target")]
    assert len({sampler.seed for sampler in samplers if isinstance(sampler, EpochSampler)}) == 2


def test_global_random_numbers_are_neither_used_nor_drawn() -> None:
    torch.manual_seed(0)
    first, state = domains().batch(5), torch.random.get_rng_state()
    torch.manual_seed(1)
    second = domains().batch(5)
    assert same(first, second)
    torch.manual_seed(0)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("role", ["source", "target"])
def test_every_row_comes_once_an_epoch(role: str) -> None:
    data = domains()
    rows = len(data.train[role].x)
    assert rows % data.dataset.batch_size[role]  # epochs end within batches
    epochs = epochs_of(data, role, 0 if role == "source" else 1, count=4)
    assert [sorted(one) for one in epochs] == [list(range(rows))] * 4
    assert len({tuple(one) for one in epochs}) == 4


def test_domains_of_unequal_size_end_their_epochs_apart() -> None:
    data = domains(source=["art", "sketch"])
    source = data.train["source"]
    for domain in (0, 1):
        rows = sorted(source.row[source.domain == domain].tolist())
        assert [sorted(one) for one in epochs_of(data, "source", domain, 3)] == [rows] * 3
    assert source.domain.bincount().tolist() == [31, 12]
    assert epochs_of(data, "source", 0, 1) != epochs_of(data, "source", 1, 1)


@pytest.mark.parametrize(
    ("size", "shares"), [(3, [1, 1, 1]), (8, [3, 3, 2]), (7, [3, 2, 2]), (9, [3, 3, 3])]
)
def test_sources_have_equal_shares_of_every_batch(size: int, shares: list[int]) -> None:
    sizes = {"source": size, "target": 6}
    data = domains(source=["art", "sketch", "toys"], batch_size=sizes)
    for step in range(6):
        assert data.batch(step)["source"].domain.bincount().tolist() == shares


@pytest.mark.parametrize("source", [["art"], ["art", "sketch"], ["art", "sketch", "toys"]])
@pytest.mark.parametrize("world", [1, 2])
def test_the_shares_of_processes_are_the_global_batch(source: list[str], world: int) -> None:
    whole = domains(source=source)
    ranks = [domains(source=source) for _ in range(world)]
    for step in (0, 1, 9):
        parts = [data.batch(step, rank, world) for rank, data in enumerate(ranks)]
        assert all(len(part["source"].x) == 8 // world for part in parts)
        joined = {
            role: Samples(*map(torch.cat, zip(*(part[role] for part in parts), strict=True)))
            for role in whole.train
        }
        assert same(joined, whole.batch(step))


@pytest.mark.parametrize("sampler", ["shuffled", "balanced"])
@pytest.mark.parametrize("kind", [np.float32, np.uint8])
@pytest.mark.parametrize("world", [1, 2])
def test_batches_cut_out_of_a_block_are_those_gathered_alone(
    sampler: str, kind: type[np.generic], world: int
) -> None:
    keys: dict[str, Any] = {"source": ["art", "sketch"], "kind": kind, "sampler": sampler}
    alone, blocks = domains(**keys), domains(**keys)
    for role, stream in blocks.streams.items():
        alone.streams[role].steps_at_once, stream.steps_at_once = 1, 5
    for step in (0, 1, 4, 5, 23, 3, 24):
        for rank in range(world):
            assert same(blocks.batch(step, rank, world), alone.batch(step, rank, world))
    blocks.to(torch.device("cpu"))  # what is gathered already is not of the samples now there
    assert same(blocks.batch(4), alone.batch(4))


@pytest.mark.parametrize(
    ("size", "shape", "steps"),
    [
        (4, (16,), 64),
        (128, (256,), 2),
        (64, (1, 28, 28), 1),
        (7, (2,), 1),  # the second batch would begin where no memory does
        (10**6, (64,), 1),
    ],
)
def test_small_batches_are_gathered_several_at_once(
    size: int, shape: tuple[int, ...], steps: int
) -> None:
    assert gathered_steps(size, shape) == steps


def test_a_domain_smaller_than_the_batch_repeats_rows() -> None:
    data = domains(batch_size={"source": 80, "target": 6})
    assert len(data.train["source"].x) == 31
    batch = data.batch(0)["source"]
    assert len(batch.x) == 80
    assert set(batch.row.bincount().tolist()) == {2, 3}
    assert [sorted(one) for one in epochs_of(data, "source", 0, 5)] == [list(range(31))] * 5


def test_row_numbers_the_whole_role() -> None:
    data = domains(
        "source",
        "target",
        "target_labelled",
        source=["art", "sketch"],
        target=["photo", "toys"],
        labels_per_class=2,
    )
    for role, whole in data.train.items():
        assert whole.row.tolist() == list(range(data.task.rows[role]))
        for step in range(5):
            batch = data.batch(step)[role]
            expected = whole.at(batch.row)
            assert all(torch.equal(a, b) for a, b in zip(batch, expected, strict=True))
    domain = sorted(set(data.train["target"].domain.tolist()))
    assert [data.task.domains[d] for d in domain] == ["photo", "toys"]


def test_inputs_and_labels_stay_together() -> None:
    data = domains("source", "target", "target_labelled", source=["toys"], labels_per_class=2)
    for role in ("source", "target_labelled"):
        batch = data.batch(0)[role]
        assert_close(batch.x[:, 0].long(), batch.y)
        names = [Toy.names[int(number)] for number in batch.x[:, 2]]
        assert names == [data.task.domains[d] for d in batch.domain.tolist()]


def test_bytes_become_floats_between_minus_one_and_one() -> None:
    data = domains(kind=np.uint8)
    assert data.train["source"].x.dtype == torch.uint8
    batch = data.batch(0)["source"]
    assert batch.x.dtype == torch.float32
    bytes_ = data.train["source"].x[batch.row].double()
    assert_close(batch.x.double(), bytes_ / 127.5 - 1, rtol=0, atol=1e-6)
    assert data.train["source"].x.dtype == torch.uint8  # the rows themselves stay bytes


@pytest.mark.parametrize("protocol", ["inductive", "transductive"])
@pytest.mark.parametrize("labels_per_class", [0, 2])
def test_target_labels_stop_at_the_door(protocol: str, labels_per_class: int) -> None:
    needed = ("source", "target", "target_labelled")[: 3 if labels_per_class else 2]
    data = domains(*needed, protocol=protocol, labels_per_class=labels_per_class)
    for samples in (data.train["target"], data.validation["target"], data.test):
        assert (samples.y == UNLABELLED).all()
        assert len(samples.y)
    for step in range(5):
        batch = data.batch(step)
        assert (batch["target"].y == UNLABELLED).all()
        for role in batch.keys() - {"target"}:
            assert (batch[role].y != UNLABELLED).all()
    assert (data.validation["source"].y != UNLABELLED).all()


@pytest.mark.parametrize("protocol", ["inductive", "transductive"])
@pytest.mark.parametrize("target", [["photo"], ["toys", "photo"]])
def test_the_oracle_has_the_true_labels_in_the_order_of_the_test(
    protocol: str, target: list[str]
) -> None:
    data = domains(protocol=protocol, target=target)
    assert torch.equal(data.oracle, data.test.x[:, 0].long())
    assert set(data.oracle.tolist()) == {0, 1, 2}
    assert len(set(data.test.domain.tolist())) == len(target)


def test_transductive_rows_are_held_once() -> None:
    data = domains(protocol="transductive")
    assert data.test is data.validation["target"]
    assert data.test is data.train["target"]
    data.to(torch.device("cpu"))
    assert data.test is data.validation["target"]
    assert data.test is data.train["target"]
    assert data.streams["target"].samples is data.train["target"]


def test_inductive_rows_are_apart() -> None:
    data = domains()
    parts = (data.train["target"], data.validation["target"], data.test)
    numbers = [set(samples.x[:, 1].tolist()) for samples in parts]
    assert len(set.union(*numbers)) == sum(map(len, numbers)) == SIZES["photo"]


def test_moving_changes_no_batch() -> None:
    data, other = domains(source=["art", "sketch"]), domains(source=["art", "sketch"])
    data.batch(2)
    data.to(torch.device("cpu"))
    assert same(data.batch(3), other.batch(3))


def test_the_task_says_what_there_is() -> None:
    data = domains(source=["toys", "art"], target=None)
    assert data.task.classes == ("cat", "dog", "owl")
    assert data.task.domains == ("toys", "art", "photo", "sketch")
    assert data.task.shape == (3,)
    assert data.task.rows == {role: len(samples.x) for role, samples in data.train.items()}


def test_a_method_of_the_target_alone_needs_no_source() -> None:
    data = domains("target", source=[])
    assert data.batch(0).keys() == {"target"}
    assert data.validation.keys() == {"target"}


@pytest.mark.parametrize(
    ("needed", "roles", "message"),
    [
        (("source",), {"source": []}, "needs the role source, but dataset.source is empty"),
        (
            ("target",),
            {"labels_per_class": "all"},
            "needs the role target, but no target sample is left without a label: lower",
        ),
        (
            ("source", "target_labelled"),
            {},
            "role target_labelled, but no target sample is labelled: "
            "set dataset.labels_per_class=3",
        ),
        (("target_strong",), {}, "needs the role target_strong, but dataset.strong is null"),
        (
            ("source",),
            {"source": ["art", "toys"], "tested": "toys"},
            "toys has no sample left for the role source",
        ),
        (("source",), {"val": 0.0}, "holds one out, dataset.protocol=transductive needs none"),
        (("source",), {"val": 0.001}, "dataset.val=0.001 leaves no source sample to validate on"),
        (
            ("source", "target"),
            {"batch_size": {"source": 8}},
            "the role target needs a batch size: dataset.batch_size.target=64",
        ),
        (
            ("source",),
            {"source": ["art", "sketch", "toys"], "batch_size": {"source": 2}},
            "dataset.batch_size.source=2 is too small for equal shares of 3 domains",
        ),
    ],
)
def test_what_cannot_be_streamed_is_refused(
    needed: tuple[str, ...], roles: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        domains(*needed, **roles)


def test_a_batch_that_processes_cannot_share_is_refused() -> None:
    with pytest.raises(InputError, match=r"batch_size\.source=8 cannot be shared by 3 processes"):
        domains().batch(0, 0, 3)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    drawn: list[int] = []
    original: Callable[..., Tensor] = torch.randperm

    def randperm(n: int, **keys: Any) -> Tensor:
        drawn.append(n)
        return original(n, **keys)

    monkeypatch.setattr(torch, "randperm", randperm)
    return drawn


def test_an_order_is_drawn_once_an_epoch_and_only_two_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = counted(monkeypatch)
    sampler = EpochSampler(torch.arange(100, 110), 4, seed=1)
    batches = [sampler.take(step) for step in range(25)]  # ten epochs
    assert drawn == [10] * 10
    assert len(sampler._orders) == 2
    assert len(torch.cat(batches)) == 100
    assert all(torch.equal(sampler.take(step), batches[step]) for step in (24, 0, 2, 12))


def test_a_batch_across_two_epochs_is_cut_from_both() -> None:
    sampler = EpochSampler(torch.arange(5), 3, seed=1)
    taken = torch.cat([sampler.take(step) for step in range(5)])
    orders = torch.cat([sampler._order(number) for number in range(3)])
    assert torch.equal(taken, orders)


COUNTS = torch.tensor([1, 5, 40])


def skewed(size: int) -> tuple[BalancedSampler, Tensor]:
    """A sampler of classes of 1, 5 and 40 samples; and the labels by position."""
    y = torch.full((100,), -5)
    rows = torch.randperm(46, generator=torch.Generator().manual_seed(0)) + 20
    y[rows] = torch.repeat_interleave(torch.arange(3), COUNTS)
    return BalancedSampler(rows, y[rows], size, seed=1), y


@pytest.mark.parametrize("size", [1, 4, 8, 50])
def test_a_balanced_sampler_draws_classes_alike_and_their_samples_in_turn(size: int) -> None:
    sampler, y = skewed(size)
    steps = 120
    taken = torch.cat([sampler.take(step) for step in range(steps)])
    labels = y[taken]
    assert len(taken) == steps * size
    rounds = len(taken) // 3
    # of any start of the sequence, a class has a third, to one sample
    for stop in range(1, len(taken), 7):
        drawn = torch.bincount(labels[:stop], minlength=3)
        assert drawn.max() - drawn.min() <= 1
    for label, count in enumerate(COUNTS.tolist()):
        members = taken[labels == label][:rounds]
        for start in range(0, rounds - count + 1, count):
            assert len({*members[start : start + count].tolist()}) == count
    turns = labels[: 3 * rounds].view(-1, 3)
    if rounds > 3:  # no class is always the first
        assert len({*turns[:, 0].tolist()}) > 1


def test_a_balanced_batch_is_a_function_of_seed_and_step() -> None:
    in_order, other = skewed(7)[0], skewed(7)[0]
    batches = [in_order.take(step) for step in range(60)]
    for step in (59, 3, 0, 41, 3):
        assert torch.equal(other.take(step), batches[step])
        assert torch.equal(in_order.take(step), batches[step])


def test_labelled_roles_alone_are_balanced_and_processes_share_their_batch() -> None:
    keys: dict[str, Any] = {"source": ["art", "sketch"], "labels_per_class": 2}
    needed = ("source", "target", "target_labelled")
    plain = domains(*needed, **keys)
    data = domains(*needed, **keys, sampler="balanced")
    for step in range(5):
        batch, other = data.batch(step), plain.batch(step)
        assert torch.equal(batch["target"].row, other["target"].row)
        assert not torch.equal(batch["source"].row, other["source"].row)
        halves = [data.batch(step, rank, 2) for rank in (0, 1)]
        for role in needed:
            assert torch.equal(torch.cat([half[role].row for half in halves]), batch[role].row)
    rows = torch.cat([data.batch(step)["source"].row for step in range(30)])
    source = data.train["source"]
    for domain in (0, 1):
        drawn = torch.bincount(source.y[rows][source.domain[rows] == domain])
        assert drawn.max() - drawn.min() <= 1


def test_a_task_knows_how_many_samples_its_classes_have() -> None:
    data = domains("source", "target", "target_labelled", labels_per_class=2)
    counts = data.task.class_counts
    assert counts.keys() == {"source", "target_labelled"}  # no other label is counted
    assert counts["source"] == tuple(torch.bincount(data.train["source"].y).tolist())
    assert counts["target_labelled"] == (2, 2, 2) or sum(counts["target_labelled"]) % 2 == 0


def test_the_loader_never_ends_and_has_nothing_to_save() -> None:
    loader = domains().train_dataloader()
    assert isinstance(loader, EndlessLoader)
    assert [next(iter(loader)) for _ in range(3)] == [0, 0, 0]
    loader.load_state_dict(loader.state_dict())
    assert loader.state_dict() == {}


def test_a_pair_stands_for_source_and_target() -> None:
    assert domains("source", "target", pair=["toys", "art"]).dataset.domains == ("toys", "art")


def test_rows_of_fewer_columns_have_zeros_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = domains(source=["art", "sketch"])
    monkeypatch.setattr(Toy, "widths", {"sketch": 4, "photo": 6})
    data = domains(source=["art", "sketch"])
    assert (data.task.shape, data.task.widths) == ((6,), (3, 4, 6))
    assert data.task.columns == "art has 3 columns, sketch has 4 columns, photo has 6 columns"
    behind = torch.tensor([[0, 0, 0], [7, 0, 0], [7, 7, 7]]).float()
    for step in range(3):
        batch, expected = data.batch(step), plain.batch(step)
        for role, samples in batch.items():
            assert torch.equal(samples.x[:, :3], expected[role].x)
            assert torch.equal(samples.x[:, 3:], behind[samples.domain])
            assert all(map(torch.equal, samples[1:], expected[role][1:]))


def test_domains_of_the_same_columns_have_no_widths_of_their_own() -> None:
    assert domains().task.widths == ()


def test_a_wider_domain_out_of_use_widens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Toy, "widths", {"toys": 9})
    data = domains()
    assert (data.task.shape, data.task.widths) == ((3,), ())
