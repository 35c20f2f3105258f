from collections.abc import Mapping
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from da_framework.config.plugins import conf_dir
from da_framework.core.batch import Outputs, Term
from da_framework.core.errors import InputError
from da_framework.core.schedules import SigmoidRamp
from da_framework.losses.confusion import class_confusion
from da_framework.losses.nuclear_norm import negative_nuclear_norm
from da_framework.methods.base import Method
from da_framework.methods.extra import Extra, Read
from da_framework.training.build import build, compose
from da_framework.training.method_check import differing_tensors, fit_config, short_config

TERMS = sorted(file.stem for file in (conf_dir() / "term").glob("*.yaml"))


def first_of_second(first: Tensor, second: Tensor) -> Tensor:
    return first.sum() / second.sum()


def extra(*reads: Read, **keys: Any) -> Extra:
    given: dict[str, Any] = {"loss": first_of_second, "weight": 1.0, "ramp": 1.0} | keys
    return Extra(reads=list(reads), **given)


def with_extras(tiny: Any, **extras: Extra) -> Any:
    method = tiny.method(Method)
    method.extra = extras
    return method


def terms(method: Any, batch: Any) -> Mapping[str, Term]:
    (objective,) = method.objectives(batch)
    added: Mapping[str, Term] = objective.terms
    return added


def test_the_term_is_the_loss_of_what_is_read_in_its_order(tiny: Any) -> None:
    method = with_extras(
        tiny,
        forth=extra("source.features", "target.logits"),
        back=extra("target.logits", "source.features"),
    )
    batch = tiny.batch()
    features, _ = method.network(batch["source"].x)
    _, logits = method.network(batch["target"].x)
    actual = terms(method, batch)
    assert_close(actual["extra_forth"].value, features.sum() / logits.sum())
    assert_close(actual["extra_back"].value, logits.sum() / features.sum())


@pytest.mark.parametrize("read", get_args(Read))
def test_every_field_that_may_be_read_is_that_of_its_role(tiny: Any, read: Read) -> None:
    role, field = read.split(".")
    outputs: Mapping[str, Outputs] = tiny.method(Method).outputs(
        tiny.batch("source", "target", "target_labelled")
    )
    term = extra(read, loss=torch.sum)
    assert term.roles == (role,)
    assert_close(term(outputs, 0.0).value, getattr(outputs[role], field).sum())


def test_hidden_labels_may_not_be_read() -> None:
    assert "target.y" not in get_args(Read)


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_the_weight_follows_the_ramp(tiny: Any, progress: float) -> None:
    ramp = SigmoidRamp(gamma=10.0, high=1.0)
    method = with_extras(
        tiny, size=extra("source.features", loss=torch.mean, weight=2.0, ramp=ramp)
    )
    method.progress = progress
    (objective,) = method.objectives(tiny.batch())
    size = objective.terms["extra_size"]
    assert size.weight == pytest.approx(2 * ramp(progress))
    assert_close(objective.total, objective.terms["source"].value + size.weight * size.value)


def test_a_name_that_the_method_has_as_well_replaces_nothing(tiny: Any) -> None:
    method = with_extras(tiny, source=extra("target.logits", loss=torch.mean))
    plain = terms(with_extras(tiny), tiny.batch())
    actual = terms(method, tiny.batch())
    assert list(actual) == ["source", "extra_source"]
    assert_close(actual["source"].value, plain["source"].value)


def test_several_terms_of_the_configuration_join_the_method_s_own() -> None:
    config = compose(
        "method=dann", "term=[mcc,bnm]", "term.mcc.weight=0.1", "term.bnm.ramp=0.5", name="check"
    )
    run = build(config)
    method = run.module.method
    batch = run.domains.batch(0)
    actual = terms(method, batch)
    assert list(actual) == ["source", "domain", "extra_mcc", "extra_bnm"]
    logits = method.outputs(batch)["target"].logits
    assert_close(actual["extra_mcc"].value, class_confusion(logits, temperature=2.5))
    assert_close(actual["extra_bnm"].value, negative_nuclear_norm(logits))
    assert (actual["extra_mcc"].weight, actual["extra_bnm"].weight) == (0.1, 0.5)


@pytest.mark.parametrize(
    ("term", "method"),
    [
        ("entropy", "entropy_minimization"),
        ("information_maximization", "information_maximization"),
        ("bnm", "bnm"),
        ("mcc", "mcc"),
    ],
)
def test_added_to_plain_training_it_is_the_method(term: str, method: str) -> None:
    added = fit_config(short_config(compose("method=control", f"term=[{term}]", name="check")))
    whole = fit_config(short_config(compose(f"method={method}", name="check")))
    plain = fit_config(short_config(compose("method=control", name="check")))
    states = [run.module.method.network.state_dict() for run in (added, whole, plain)]
    assert not differing_tensors(states[0], states[1])
    assert differing_tensors(states[0], states[2])


@pytest.mark.parametrize("term", TERMS)
def test_every_term_has_a_finite_gradient_in_the_encoder(term: str) -> None:
    run = build(compose("method=control", f"term=[{term}]", name="check"))
    actual = terms(run.module.method, run.domains.batch(0))
    assert list(actual) == ["source", f"extra_{term}"]
    weights = list(run.module.method.network.encoder.parameters())
    gradients = torch.autograd.grad(actual[f"extra_{term}"].value, weights)
    assert all(own.isfinite().all() for own in gradients)
    assert any(own.any() for own in gradients)


@pytest.mark.parametrize("term", TERMS)
def test_every_term_says_what_it_is(term: str) -> None:
    first, second = (conf_dir() / "term" / f"{term}.yaml").read_text().splitlines()[:2]
    assert first == f"# @package term.{term}"
    assert second.startswith("# ")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("term.mcc.reads=[target.y]", "term.mcc.reads.0: input should be"),
        ("term.mcc.reads=[target.pixels]", "term.mcc.reads.0: input should be"),
        ("term.mcc.reads=[]", "term.mcc.reads: list should have at least 1 item"),
        ("term.mcc.weight=-1.0", "term.mcc.weight: input should be greater than or equal to 0"),
        ("+term.mcc.loss.temperatur=1.0", "term.mcc.loss.temperatur: there is no such key"),
        ("~term.mcc.loss.temperature", "term.mcc.loss.temperature: missing"),
    ],
)
def test_what_is_wrong_is_named(override: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        build(compose("term=[mcc]", override, name="check"))
    assert message in str(raised.value)


def test_a_role_that_the_method_is_not_given_is_named() -> None:
    with pytest.raises(InputError, match=r"term=mcc reads the role target, which SourceOnly"):
        build(compose("method=source_only", "term=[mcc]", name="check"))
    reads = "term.mcc.reads=[target_labelled.logits]"
    with pytest.raises(InputError, match="reads the role target_labelled"):
        build(compose("term=[mcc]", reads, name="check"))
    build(compose("term=[mcc]", reads, "dataset.labels_per_class=2", name="check"))


def test_terms_are_added_from_the_command_line_and_recorded(da: Any) -> None:
    ended = da.train("term=[mcc,bnm]", "term.mcc.weight=0.1", "flush_every=10")
    assert (ended.code, ended.err) == (0, "")
    configured = da.record()["config"]["term"]
    assert configured["mcc"]["weight"] == 0.1
    assert list(configured) == ["mcc", "bnm"]
    columns = (da.folder / "run" / "metrics.csv").read_text().partition("\n")[0].split(",")
    assert {"train/extra_mcc", "train/extra_bnm"} <= set(columns)
