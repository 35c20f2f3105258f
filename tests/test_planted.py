"""Faults that are planted in the package, each seen by the nearest test or by the self-check."""

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from operator import attrgetter
from typing import Any, NamedTuple

import pytest
import torch

from da_framework.training import method_check as check
from da_framework.training.build import compose
from tests.methods import test_can, test_jda
from tests.methods.conftest import Tiny
from tests.training import test_module
from tests.validators import test_formulas


class Fault(NamedTuple):
    """What is written in the place of what, and who sees it.

    Attributes:
        place: module and function.
        before, after: of its source.
        method: whose self-check fails; or else ``test`` does.
        seen_by: the check, or the test.
    """

    place: str
    before: str
    after: str
    seen_by: Callable[..., Any]
    method: str = ""


FORMULA = test_formulas.test_the_score_is_that_of_the_formula
METHODS, VALIDATORS = "da_framework.methods", "da_framework.validators"
ONCE = (
    "outputs: Mapping[str, Outputs]) -> None:",
    "outputs) -> None:\n    if self.progress: return",
)
FAULTS = {
    "SHOT labels the target once": Fault(
        f"{METHODS}.shot:SHOT.refresh", *ONCE, check.refreshes_anew, "shot"
    ),
    "PADA meets the classes once": Fault(
        f"{METHODS}.pada:PADA.refresh", *ONCE, check.refreshes_anew, "pada"
    ),
    "SHOT's labels go by place in the batch": Fault(
        f"{METHODS}.shot:SHOT.method_terms",
        "self.pseudo_labels[target.row]",
        "self.pseudo_labels[: len(target.row)]",
        check.knows_samples_by_their_row,
        "shot",
    ),
    "MMD has the target detached": Fault(
        f"{METHODS}.mmd:MMD.terms",
        "target.features",
        "target.features.detach()",
        check.terms_learn_from_what_they_read,
        "mmd",
    ),
    "JDA keeps the labels of its first round": Fault(
        f"{METHODS}.jda:JDA.solve",
        "pseudo_labels = self.judge(self.transform(target, source=False)).argmax(1)",
        "pseudo_labels = vars(self).setdefault('first', "
        "self.judge(self.transform(target, source=False)).argmax(1))",
        test_jda.test_equals_the_loop_written_by_hand,
    ),
    "CAN's distance is twice as far": Fault(
        f"{METHODS}.can:CAN.refresh",
        "(1 - cosine) / 2",
        "(1 - cosine)",
        test_can.test_the_distance_is_half_of_one_less_the_cosine,
    ),
    "DEV's control variate has the other sign": Fault(
        f"{VALIDATORS}.dev:dev", "-covariance", "covariance", partial(FORMULA, "dev")
    ),
    "DEV has no control variate": Fault(
        f"{VALIDATORS}.dev:dev", "eta = ", "eta = 0.0 * ", partial(FORMULA, "dev")
    ),
    "SND counts the sample itself": Fault(
        f"{VALIDATORS}.snd:snd",
        "others[:, rows].fill_diagonal_(False)",
        "return row_entropy(p @ p.T / temperature).mean().item()",
        partial(FORMULA, "snd"),
    ),
    "the density ratio is judged in sample": Fault(
        f"{METHODS}.reweighting.domain_classifier:domain_classifier",
        "p = cross_val_predict(",
        "p = (lambda model, x, y, **keys: model.fit(x, y).predict_proba(x))(",
        test_formulas.test_the_ratio_is_judged_on_samples_that_its_classifier_has_not_seen,
    ),
    "the shift is judged in sample": Fault(
        "da_framework.metrics.domain_distance:domain_accuracy",
        "((s_held, 1), (t_held, -1))",
        "((s, 1), (t, -1))",
        check.judges_the_shift_on_held_out_samples,
        "dann",
    ),
    "the shift is judged in sample by logistic regression": Fault(
        "da_framework.metrics.domain_distance:logistic_domain_accuracy",
        "order[1::2]",
        "order[::2]",
        check.judges_the_shift_on_held_out_samples,
        "dann",
    ),
    "validators are given the test samples": Fault(
        "da_framework.training.module:Adaptation.outputs_to_judge",
        "domains.validation.items()",
        "{**domains.validation, 'target': domains.test}.items()",
        check.validators_never_see_test_samples,
        "dann",
    ),
    "the target is split by its labels": Fault(
        "da_framework.datasets.splits:DomainSplitter.split_target",
        "stratify=False",
        "stratify=True",
        check.splits_ignore_target_labels,
        "dann",
    ),
    "the way back knows the source's labels": Fault(
        "da_framework.datasets.datamodule:Domains.reversed",
        "torch.full_like(source.y, UNLABELLED)",
        "source.y",
        test_module.test_the_way_back_never_sees_the_source_s_labels,
    ),
}


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """The function with the fault in it, for whoever has imported it by whatever name."""
    module, _, name = fault.place.partition(":")
    function = inspect.unwrap(attrgetter(name)(import_module(module)))
    source = textwrap.dedent(inspect.getsource(function))
    assert fault.before in source, f"{fault.place} is not as it was"
    # in a class, so that super() is as in a method
    body = textwrap.indent(source.replace(fault.before, fault.after), "    ")
    namespace: dict[str, Any] = dict(function.__globals__)
    exec(f"from __future__ import annotations\nclass _:\n{body}", namespace)
    before = function.__code__
    function.__code__ = vars(namespace["_"])[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = before


def is_seen(fault: Fault) -> bool:
    """Whether the check or the test that is to see a fault does."""
    if fault.method:
        config = compose(f"method={fault.method}", name="check")
        (finding,) = check.check_method(config, [fault.seen_by])
        return finding.passed is False
    given = {"tiny": Tiny()} if "tiny" in inspect.signature(fault.seen_by).parameters else {}
    try:
        fault.seen_by(**given)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_seen(name: str) -> None:
    fault = FAULTS[name]
    torch.set_num_threads(1)
    with planted(fault):
        assert is_seen(fault)


@pytest.mark.parametrize("name", FAULTS)
def test_without_the_fault_nothing_is_seen(name: str) -> None:
    assert not is_seen(FAULTS[name])
