"""Every estimator with every method, on domains of different sizes."""

import pytest

from da_framework.config.plugins import conf_dir
from da_framework.config.schema import instantiate
from da_framework.training.build import compose
from tests.validators.test_every_method import METHODS, scores_of

GROUP = "accuracy_estimator"
SECOND_RUN = {"gde"}
"""What needs a second run."""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_estimate_of_every_method_is_a_share(method: str) -> None:
    names = {path.stem for path in (conf_dir() / GROUP).glob("*.yaml")} - SECOND_RUN
    config = compose("callback=[accuracy_estimators]")["callback"]["accuracy_estimators"]
    estimators = instantiate(config["accuracy_estimators"])
    assert estimators.keys() == names
    estimates = scores_of(method, estimators)
    assert estimates.keys() == names
    assert all(0 <= float(value) <= 1 for value in estimates.values()), estimates
