"""A source that is left out: what is trained on, what validators see, and that nothing leaks."""

from typing import Any, Unpack

import numpy as np
import pytest
import torch

from da_framework.core.errors import InputError
from da_framework.datasets.base import Dataset, Domain, Roles
from da_framework.training.build import Run, build, compose
from tests.datasets.roles import TRANSDUCTIVE

NAMES = ("a", "b", "c", "d")


class Four(Dataset):
    """Two classes in four domains, one of which may have other samples."""

    classes = ("no", "yes")
    names = NAMES

    def __init__(self, other: str = "", **roles: Unpack[Roles]) -> None:
        super().__init__(**roles)
        self.other = other

    def load(self, name: str) -> Domain:
        random = np.random.default_rng(100 if name == self.other else NAMES.index(name))
        y = np.arange(30 if name == self.other else 20) % 2
        x = (random.normal(size=(len(y), 2)) + y[:, None]).astype(np.float32)
        return Domain(x, y)


def four(left_out: str | None, *, other: str = "", **keys: Any) -> Four:
    roles = {"source": ["a", "b", "c"], "target": ["d"], "batch_size": {"source": 6, "target": 6}}
    return Four(other, **{**TRANSDUCTIVE, **roles, "left_out": left_out, **keys})


def test_it_is_what_validators_see_of_the_source_and_the_others_train_as_without_it() -> None:
    plain, split = four(None).split_roles(), four("b").split_roles()
    trained = {part.domain: part.rows.tolist() for part in split.train["source"]}
    usual = {part.domain: part.rows.tolist() for part in plain.train["source"]}
    assert trained == {name: usual[name] for name in ("a", "c")}
    (seen,) = split.validation["source"]
    assert (seen.domain, seen.rows.tolist(), seen.labelled) == ("b", list(range(20)), True)
    for role in (split.train["target"], split.validation["target"], split.test):
        assert [part.domain for part in role] == ["d"]


def test_its_official_test_part_and_classes_that_are_not_learnt_stay_out() -> None:
    class Parted(Four):
        def load(self, name: str) -> Domain:
            domain = super().load(name)
            return domain._replace(test=np.arange(len(domain.y)) < 8)

    keys = {**TRANSDUCTIVE, "source": ["a", "b"], "target": ["d"], "left_out": "b", "val": 0.0}
    split = Parted(**keys, source_classes=["yes"]).split_roles()
    (seen,) = split.validation["source"]
    assert seen.rows.tolist() == list(range(9, 20, 2))


@pytest.mark.parametrize("left_out", ["d", "a"])
def test_it_is_one_of_several_sources(left_out: str) -> None:
    with pytest.raises(InputError) as error:
        four(left_out, source=["a"])
    assert str(error.value) == (
        f"dataset.left_out={left_out}: it is one of several sources, and dataset.source has a"
    )


def trained(method: str, left_out: str | None = "b", *, other: str = "", **keys: Any) -> Run:
    words = ("validator=source_accuracy", "steps=3", "evaluate_every=1", *keys.get("words", ()))
    run = build(compose(f"method={method}", *words, name="check"), four(left_out, other=other))
    module = run.module
    module.domains = run.domains
    module.configure_optimizers()
    for step in range(3):
        seen = module.score(module.outputs_to_judge()[0])
        module.history.append({"step": step, "score": seen})
        for objective in module.method.objectives(run.domains.batch(step)):
            module.clear_gradients()
            objective.total.backward()  # type: ignore[no-untyped-call]
            for optimizer, _ in module.parts.values():
                optimizer.step()
    return run


def weights(run: Run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.module.method.network.parameters()])


@pytest.mark.parametrize("method", ["source_only", "group_dro", "dann_between_sources"])
def test_weights_ignore_it_and_choosing_ignores_the_target(method: str) -> None:
    run, elsewhere = trained(method), trained(method, other="d")
    assert torch.equal(weights(run), weights(elsewhere))
    assert run.module.history == elsewhere.module.history
    changed = trained(method, other="b")
    assert torch.equal(weights(run), weights(changed))
    assert run.module.history != changed.module.history


def test_a_score_is_the_accuracy_on_it() -> None:
    run = trained("source_only")
    outputs = run.module.method.evaluate_samples(run.domains.validation["source"])
    assert len(outputs.y) == 20
    expected = (outputs.logits.argmax(1) == outputs.y).float().mean().item()
    assert run.module.score(run.module.outputs_to_judge()[0]) == expected


def test_a_validator_that_reads_the_target_is_refused() -> None:
    with pytest.raises(InputError) as error:
        trained("source_only", words=["validator=entropy"])
    assert str(error.value) == (
        "validator=entropy reads the target, which dataset.left_out=b hides: "
        "validator=source_accuracy"
    )


def test_of_two_sources_that_are_compared_none_is_left_out() -> None:
    words = ("dataset.source=[straight,halfway]", "dataset.left_out=halfway")
    with pytest.raises(InputError) as error:
        build(compose("method=irm", *words, name="check"))
    assert str(error.value) == (
        "IRM compares sources, and dataset.left_out=halfway leaves only one, straight: of two "
        "sources none can be left out"
    )


def test_the_record_says_what_was_chosen_by(da: Any) -> None:
    sides = ("dataset.source=[straight,halfway]", "dataset.left_out=halfway")
    keys = ("dataset=two_moons", "method=source_only", "validator=source_accuracy", "steps=2")
    ended = da.train(*keys, *sides)
    assert ended.code == 0, ended.err
    record = da.record()
    assert record["selection"] == {
        "last": "nothing: the last step",
        "chosen": "the source halfway, which is left out of training",
        "oracle": "labels of the target, which no method may use",
    }
    assert record["domains"] == {"source": ["straight"], "target": ["rotated"]}
    assert record["target"]["chosen"]["score"] == record["source"]["chosen"]["accuracy"]
