"""The cache of features: equal to running the backbone, shared, and safe against damage."""

import logging
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from da_framework.config.plugins import conf_dir
from da_framework.datasets.memmap import MappedSamples
from da_framework.training import feature_cache
from da_framework.training.build import build, compose
from da_framework.training.feature_cache import Shards, SharedFeatures, with_cached_features
from da_framework.training.method_check import fit_config, fit_for_method, method_class
from tests.selection import a_few

METHODS = sorted(path.stem for path in (conf_dir() / "method").glob("*.yaml"))
STEPS = ("steps=6", "evaluate_every=3", "checkpoint_every=6", "flush_every=3")


def config(method: str, cache: object, *overrides: str) -> dict[str, Any]:
    return compose(
        *(f"method={method}", "network.freeze=backbone", f"feature_cache={cache}", *STEPS),
        *overrides,
        name="check",
    )


@pytest.mark.parametrize("name", a_few("cached features", METHODS, 16))
def test_a_run_with_features_ends_where_one_with_inputs_does(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method_class(config(name, tmp_path)).closed_form:
        pytest.skip("is fitted to features that are there")
    with fit_for_method(config(name, tmp_path)) as ready:
        actual = fit_config(ready)
        with monkeypatch.context() as patch:
            patch.setattr(
                "da_framework.training.build.with_cached_features", lambda dataset, *_: dataset
            )
            expected = fit_config(ready)
    wide = actual.domains.train[next(iter(actual.domains.train))].x.shape[1]
    assert wide == (2 if method_class(ready).needs_raw_inputs or actual.domains.views else 64)
    first, other = actual.module.state_dict(), expected.module.state_dict()
    assert_close(first, other, rtol=1e-4, atol=1e-5)


def test_an_evaluation_takes_the_inputs_themselves(da: Any) -> None:
    keys = ("method=dann", "network.freeze=backbone", "feature_cache=kept")
    assert da.train(*keys, run="run").code == 0
    ended = da("evaluate", "run=run", "pick=last")
    assert ended.code == 0
    accuracy = da.record("run")["target"]["last"]["accuracy"]
    assert f"{accuracy:.4f}" in ended.out
    assert list((da.folder / "kept").glob("*/*.npy"))


@pytest.fixture
def parts() -> tuple[Any, Any]:
    run = build(
        compose("method=dann", "network.freeze=backbone", "feature_cache=null", name="check")
    )
    dataset = build(compose("method=dann", name="check")).domains.dataset
    return dataset, run.module.method.network


def test_what_was_computed_is_found_again_and_nothing_else(
    parts: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset, network = parts
    rows = sum(len(dataset[name].x) for name in dataset.domains)
    with caplog.at_level(logging.INFO):
        first = with_cached_features(dataset, network, tmp_path, "cpu")
        other = with_cached_features(dataset, network, tmp_path, "cpu")
        with torch.no_grad():
            next(network.encoder.backbone.parameters()).add_(1)
        third = with_cached_features(dataset, network, tmp_path, "cpu")
    message = [record.message.partition(";")[0] for record in caplog.records]
    none, all_ = (
        f"features of 0 samples found, of {rows} computed",
        f"features of {rows} samples found, of 0 computed",
    )
    assert message == [none, all_, none]
    name = dataset.domains[0]
    np.testing.assert_array_equal(first[name].x, other[name].x)
    assert not np.allclose(first[name].x, third[name].x)
    assert dataset[name].x.shape[1] == 2  # as it was


@pytest.mark.parametrize("harm", ["cut", "flipped", "emptied", "gone"])
def test_a_damaged_file_is_computed_anew(
    parts: Any, tmp_path: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "SHARD", 100)
    dataset, network = parts
    expected = with_cached_features(dataset, network, tmp_path, "cpu")
    file = sorted(tmp_path.glob("*/*.npy"))[1]
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    harmed = {"cut": content[:150], "flipped": content, "emptied": b"", "gone": None}[harm]
    if harmed is None:
        file.unlink()
    else:
        file.write_bytes(harmed)
    actual = with_cached_features(dataset, network, tmp_path, "cpu")
    for name in dataset.domains:
        np.testing.assert_array_equal(actual[name].x, expected[name].x)


def test_two_at_once_compute_once(parts: Any, tmp_path: Path) -> None:
    dataset, network = parts
    x = dataset[dataset.domains[0]].x
    both = [Shards(x, network, "cpu", tmp_path / "one") for _ in range(2)]
    first = both[0].compute

    def slow(start: int) -> Any:
        time.sleep(0.3)
        return first(start)

    both[0].compute = slow  # type: ignore[method-assign]
    thread = threading.Thread(target=both[0].features)
    thread.start()
    time.sleep(0.1)
    both[1].features()
    thread.join()
    assert (both[0].computed, both[1].computed, both[1].cached) == (len(x), 0, len(x))


def test_a_folder_that_cannot_be_written_costs_a_warning(
    parts: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset, network = parts
    (tmp_path / "file").write_text("")
    actual = with_cached_features(dataset, network, tmp_path / "file" / "below", "cpu")
    assert actual[dataset.domains[0]].x.shape[1] == 64
    assert "are not kept" in caplog.text


def test_features_are_computed_ahead_and_found_by_training(da: Any) -> None:
    keys = ("network.freeze=backbone", "feature_cache=kept")
    ended = da("features", *da.small[:2], *keys)
    assert ended.code == 0
    assert "features of 0 samples found" in ended.out + ended.err
    ended = da.train(*keys, run="run")
    assert "of 0 computed" in ended.out + ended.err
    refused = da("features", *da.small[:2])
    assert refused.code == 2
    assert "network.freeze=backbone" in refused.err


def test_features_as_wide_as_the_inputs_are_not_taken_for_them(tmp_path: Path) -> None:
    run = build(config("dann", tmp_path, "network.backbone.widths=[2]"))
    assert not list(tmp_path.iterdir())
    backbone = run.module.method.network.encoder.backbone
    samples = run.domains.test
    assert_close(
        run.module.method.evaluate_samples(samples).features,
        run.module.method.network.encoder.bottleneck(backbone(samples.x)).detach(),
    )


def test_what_runs_share_is_computed_once_and_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "da_framework.training.build.with_cached_features", lambda dataset, *_: dataset
    )
    shared, passes = SharedFeatures(), []
    for name in ("dann", "source_only"):
        with fit_for_method(config(name, tmp_path)) as ready:
            run = fit_config(ready)
        method, samples = run.module.method, run.domains.test
        expected = method.evaluate_samples(samples)
        method.network.encoder.backbone.register_forward_hook(lambda *_: passes.append(1))
        outputs = shared.evaluate(method, samples)
        for actual, whole in zip(outputs, expected, strict=True):
            assert_close(actual, whole, rtol=1e-5, atol=1e-6)
        x: Any = MappedSamples([(samples.x.numpy(), np.arange(len(samples.y)))])
        assert torch.equal(shared.evaluate(method, samples._replace(x=x)).logits, outputs.logits)
    assert len(passes) == 1
    with torch.no_grad():
        next(method.network.encoder.backbone.parameters()).add_(1)
    shared.evaluate(method, samples)
    assert len(passes) == 2
