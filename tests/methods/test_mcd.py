from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD
from torch.testing import assert_close

from da_framework.core.batch import Batch
from da_framework.losses.discrepancy import l1_discrepancy
from da_framework.methods.extra import Extra
from da_framework.methods.mcd import MCD

KEYS: dict[str, Any] = {"weight": 0.7, "repeats": 3}

ROWS: list[tuple[dict[str, Any], bool, str]] = [
    ({}, False, "target"),
    ({}, True, "both"),
    ({"batch_norm": "separate"}, True, "target"),
]


def test_heads_that_are_alike_do_not_disagree_and_blind_ones_differ_by_the_closed_form(
    tiny: Any,
) -> None:
    method, batch = tiny.method(MCD, **KEYS), tiny.batch()
    method.second.load_state_dict(method.network.head.state_dict())
    assert list(method.objectives(batch))[1].terms["discrepancy"].value == 0
    for head, bias in ((method.network.head, 1e3), (method.second, 0.0)):
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
        head[-1].bias.data[0] = bias
    value = list(method.objectives(batch))[1].terms["discrepancy"].value
    assert value.item() == pytest.approx((2 / 3 + 1 / 3 + 1 / 3) / 3)


def test_the_moves_are_the_paper_s(tiny: Any) -> None:
    first, second, *third = tiny.method(MCD, **KEYS).objectives(tiny.batch())
    assert first.updates == ("encoder", "heads")
    assert set(first.terms) == {"source", "source_second"}
    assert second.updates == ("heads",)
    assert set(second.terms) == {"source", "source_second", "discrepancy"}
    assert second.terms["discrepancy"].weight == -0.7
    assert len(third) == 3
    for move in third:
        assert move.updates == ("encoder",)
        assert set(move.terms) == {"discrepancy"}
        assert move.terms["discrepancy"].weight == 0.7


def by_hand(method: MCD, batches: list[Batch], lr: float = 0.1) -> tuple[nn.Module, nn.Module]:
    network, other = deepcopy(method.network), deepcopy(method.second)
    encoder, head = network.encoder, network.head
    of_encoder = SGD(encoder.parameters(), lr=lr)
    of_heads = SGD([*head.parameters(), *other.parameters()], lr=lr)

    def supervised(batch: Batch) -> Tensor:
        features, y = encoder(batch["source"].x), batch["source"].y
        return cross_entropy(head(features), y) + cross_entropy(other(features), y)

    def difference(batch: Batch) -> Tensor:
        features = encoder(batch["target"].x)
        return l1_discrepancy(head(features), other(features))

    def move(loss: Tensor, *optimizers: SGD) -> None:
        of_encoder.zero_grad()
        of_heads.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()

    for batch in batches:
        move(supervised(batch), of_encoder, of_heads)
        move(supervised(batch) - 0.7 * difference(batch), of_heads)
        for _ in range(3):
            move(0.7 * difference(batch), of_encoder)
    return network, other


def test_steps_equal_a_loop_written_by_hand(tiny: Any) -> None:
    method = tiny.method(MCD, **KEYS)
    batches = [tiny.batch(seed=seed) for seed in range(4)]
    network, other = by_hand(method, batches)
    start = deepcopy(method.state_dict())
    tiny.train(method, batches)
    assert_close(method.network.state_dict(), network.state_dict())
    assert_close(method.second.state_dict(), other.state_dict())
    for name, value in method.state_dict().items():
        assert not torch.equal(value, start[name])


def test_the_discrepancy_is_of_the_target_alone(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(MCD, **KEYS), tiny.batch()
    other = {"source": tiny.batch(seed=1)["source"], "target": batch["target"]}
    moved = []
    for given in (batch, other):
        term = list(method.objectives(given))[2].terms["discrepancy"]
        moved.append(gradient(term.value, method))
    assert_close(moved[0], moved[1])
    for part in (method.network.encoder, method.network.head, method.second):
        assert any(own.any() for own in gradient(term.value, part))


@pytest.mark.parametrize(("keys", "norm", "rows"), ROWS)
def test_the_encoder_moves_without_the_source_where_no_statistics_are_shared(
    tiny: Any, keys: dict[str, Any], norm: bool, rows: str
) -> None:
    method = tiny.method(MCD, network=tiny.network(norm=norm), **KEYS, **keys)
    batch, sizes = tiny.batch(), []
    method.network.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    list(method.objectives(batch))
    n, m = len(batch["source"].x), len(batch["target"].x)
    assert sum(sizes[-3:]) == 3 * (m if rows == "target" else n + m)


def test_evaluated_is_the_mean_of_both_heads(tiny: Any) -> None:
    method, x = tiny.method(MCD, **KEYS), tiny.batch()["target"].x
    features, logits = method(x)
    encoded, head = method.network(x)
    assert_close(features, encoded)
    assert_close(logits, (head + method.second(encoded)) / 2)


def test_both_heads_learn_from_labelled_target_rows(tiny: Any) -> None:
    method = tiny.method(MCD, **(KEYS | {"alpha": 0.25}))
    batch = tiny.batch("source", "target", "target_labelled")
    first = next(iter(method.objectives(batch)))
    weights = {name: term.weight for name, term in first.terms.items()}
    expected = {"source": 0.25, "target_labelled": 0.75}
    assert weights == expected | {f"{name}_second": own for name, own in expected.items()}
    labelled = batch["target_labelled"]
    logits = method.second(method.network.encoder(labelled.x))
    assert_close(first.terms["target_labelled_second"].value, cross_entropy(logits, labelled.y))


def test_terms_of_the_configuration_are_in_the_first_move_alone(tiny: Any) -> None:
    method = tiny.method(MCD, **KEYS)
    method.extra = {"size": Extra(loss=torch.mean, reads=["target.features"], weight=1.0, ramp=1.0)}
    having = ["extra_size" in move.terms for move in method.objectives(tiny.batch())]
    assert having == [True, False, False, False, False]


def test_every_weight_is_in_one_part(tiny: Any) -> None:
    method = tiny.method(MCD, **KEYS)
    moved = [id(p) for part in method.parts().values() for m in part for p in m.parameters()]
    assert sorted(moved) == sorted(id(p) for p in method.parameters())
