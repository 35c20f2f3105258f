from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.methods.fine_tuning import FineTuning
from da_framework.methods.structural_noise import StructuralNoise

PLACES = ("features", "logits", "weights")


@pytest.mark.parametrize("place", PLACES)
def test_without_scale_it_is_fine_tuning(tiny: Any, place: str) -> None:
    batches = [tiny.batch("target_labelled", seed=seed) for seed in range(3)]
    plain = tiny.train(tiny.method(FineTuning, gradual=0.0), batches)
    method = tiny.method(StructuralNoise, place=place, scale=0.0, gradual=0.0)
    assert_close(tiny.train(method, batches).state_dict(), plain.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("place", PLACES)
def test_there_is_noise_in_training_and_none_in_an_evaluation(tiny: Any, place: str) -> None:
    method = tiny.method(StructuralNoise, place=place, scale=0.5, gradual=0.0)
    batch = tiny.batch("target_labelled")
    rows = batch["target_labelled"]
    features, logits = method.network(rows.x)
    method.generator.manual_seed(1)
    labelled = method.outputs(batch)["target_labelled"]
    assert not torch.allclose(labelled.logits, logits)
    assert torch.allclose(labelled.features, features) == (place == "logits")
    method.generator.manual_seed(1)
    assert_close(method.outputs(batch)["target_labelled"].logits, labelled.logits)
    assert_close(method(rows.x)[1], logits)


def test_its_size_is_relative_to_what_it_is_added_to(tiny: Any) -> None:
    method = tiny.method(StructuralNoise, place="logits", scale=0.5, gradual=0.0)
    values = torch.full((200, 100), 7.0, dtype=torch.float64)
    noise = method.add_noise(values) - values
    assert noise.std().item() == pytest.approx(3.5, rel=0.02)
    assert abs(noise.mean().item()) < 0.1


def test_noisy_weights_learn_at_the_place_they_were(tiny: Any) -> None:
    method = tiny.method(StructuralNoise, place="weights", scale=0.5, gradual=0.0)
    (objective,) = method.objectives(tiny.batch("target_labelled"))
    objective.total.backward()
    assert all(weight.grad is not None for weight in method.network.parameters())
