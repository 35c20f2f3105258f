"""A target that is never seen: what its methods are given, and what a validator is shown."""

from typing import Any

import pytest
import torch

from da_framework.core.errors import InputError
from da_framework.methods.irm import IRM
from da_framework.training.build import build, compose


def test_the_risks_are_each_source_s_loss(tiny: Any) -> None:
    method, batch = tiny.method(IRM, domains=4, weight=0.0), tiny.batch("source", domains=4)
    source = method.outputs(batch)["source"]
    losses = method.label_losses(source, "source")
    expected = torch.stack([losses[source.domain == number].mean() for number in range(3)])
    torch.testing.assert_close(method.risks(source), expected)


SOURCES = ("dataset.source=[straight,halfway]", "steps=2", "evaluate_every=1")


@pytest.mark.parametrize("method", ["irm", "spectral_decoupling"])
def test_it_is_chosen_by_held_out_source_unless_something_else_is_typed(method: str) -> None:
    def chosen(*overrides: str) -> str:
        return str(compose(*overrides)["validator"]["_target_"].rpartition(".")[2])

    assert chosen(f"method={method}") == "source_accuracy"
    assert chosen(f"method={method}", "validator=entropy") == "entropy"
    assert chosen("method=dann") == "information_maximization"


@pytest.mark.parametrize("validator", ["entropy", "iwcv", "reverse_validation", "mix_val"])
def test_a_validator_that_reads_the_target_is_refused(validator: str) -> None:
    run = build(compose("method=irm", *SOURCES, f"validator={validator}", name="check"))
    run.module.domains = run.domains
    with pytest.raises(InputError) as error:
        run.module.evaluate()
    assert str(error.value) == (
        f"validator={validator} reads the target, which IRM never sees: validator=source_accuracy"
    )


def test_what_cannot_be_chosen_by_ends_in_a_line(da: Any) -> None:
    keys = ("dataset=two_moons", "method=irm", *SOURCES)
    for wrong, line in (
        ("validator=entropy", "validator=source_accuracy"),
        ("dataset.val=0.0", "dataset.val=0.1"),
    ):
        ended = da.train(*keys, wrong)
        assert ended.code == 2
        assert ended.err.count("\n") == 1
        assert line in ended.err


def test_with_one_source_it_says_what_to_type() -> None:
    with pytest.raises(InputError) as error:
        build(compose("method=group_dro", name="check"))
    assert str(error.value) == (
        "GroupDRO compares sources, and there is only one source, straight: "
        "'dataset.source=[straight,halfway]' 'dataset.target=[rotated]'"
    )
    with pytest.raises(InputError, match="two other domains at least"):
        build(compose("method=group_dro", "dataset=digits"))


def test_one_that_does_not_compare_sources_takes_one(da: Any) -> None:
    ended = da.train("dataset=two_moons", "method=spectral_decoupling", "steps=2")
    assert ended.code == 0, ended.err
    record = da.record()
    assert record["choices"]["validator"] == "source_accuracy"
    assert record["selection"]["chosen"] == "held-out samples of the sources"
    assert record["selection"].keys() == record["target"].keys()
    assert record["target"]["chosen"]["score"] == record["source"]["chosen"]["accuracy"]
