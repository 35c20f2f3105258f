"""A run: what it writes, what it is recognised by, and what survives a kill."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from da_framework.datasets import digits_files
from da_framework.results import record as results
from da_framework.training import dataset_cache, module
from da_framework.training.build import compose

PICKS = ("last", "chosen", "oracle")
CONVNET = (
    *("dataset=digits", "dataset.size=12", "network=convnet", "network.backbone.channels=[4]"),
    *("network.bottleneck=[8]", "dataset.batch_size={source: 16, target: 16}"),
    *("logger=[]", "callback=[]", "trainer.accelerator=cpu"),
)


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def trained_at(da: Any, run: str = "run") -> float:
    """When a run's result was written."""
    return float((da.folder / run / "result.json").stat().st_mtime_ns)


# the record


def test_a_run_of_which_nothing_was_chosen_is_read_by_all(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entropy(outputs: Mapping[str, Any]) -> float:
        return math.nan

    monkeypatch.setattr("da_framework.validators.entropy.entropy", entropy)
    ended = da.train("validator=entropy", "steps=4", "callback=[curves]")
    assert (ended.code, "Traceback" in ended.err) == (0, False)
    assert "nothing was chosen: no score of entropy is finite" in ended.out
    record = da.record()
    assert record["target"].keys() == record["source"].keys() == {"last", "oracle"}
    assert record["target"]["last"]["score"] is None
    assert record["verdicts"][0]["words"].startswith("the validator entropy gave nan")
    assert "| chosen:" not in (da.folder / "run" / "MODEL.md").read_text()
    report = da("report", "run", "--out", "all.csv", "--html", "page.html", "--keep", "kept.json")
    assert report.code == 0, report.err
    assert da("report", "kept.json").code == 0
    assert "nothing was chosen" in da("doctor", "run").out
    refused = da("evaluate", "run=run", "pick=chosen")
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "no score of the run's validator is finite" in refused.err
    swept = da("train", *da.small, "-m", "validator=entropy", "steps=4", "hydra.sweep.dir=swept")
    assert swept.code == 0, swept


def test_the_record_holds_what_it_promises(da: Any) -> None:
    ended = da.train("evaluate_every=5", "checkpoint_every=10", "flush_every=10")
    assert (ended.code, ended.err) == (0, "")
    record = da.record()
    for pick in PICKS:
        item = record["target"][pick]
        assert {"step", "score", "mmd"} <= item.keys()
        assert 0 <= item["mmd"] <= 2
        for actual in (item, record["source"][pick]):
            assert {"accuracy", "calibration_error"} <= actual.keys()
            for name in ("balanced_accuracy", "macro_precision", "macro_f1"):
                assert 0 <= actual[name] <= 1
            for name in ("precision", "recall", "f1", "rows"):
                assert len(actual[f"{name}_per_class"]) == len(record["classes"])
            assert sum(actual["rows_per_class"]) == actual["rows"]
        assert 0 <= item["accuracy"] <= 1
        assert f"{item['accuracy']:.2%}" in ended.out
    assert record["baseline"] is False
    assert record["target"]["last"]["step"] == record["steps"] == 20
    curve = {row["step"]: row for row in record["curve"]}
    assert list(curve) == [0, 5, 10, 15, 20]
    trained = [curve[step] for step in (5, 10, 15, 20)]
    chosen = max(trained, key=lambda row: row["score"])
    assert record["target"]["chosen"]["step"] == chosen["step"]
    best = max(row["oracle/accuracy"] for row in trained)
    assert record["target"]["oracle"]["accuracy"] == best
    assert record["target"]["last"]["accuracy"] == curve[20]["oracle/accuracy"]
    assert record["config"]["method"]["_target_"] == "da_framework.methods.dann.DANN"
    assert record["config"]["steps"] == 20
    assert {"python", "torch", "pytorch-lightning"} <= record["environment"]["versions"].keys()
    assert record["key"] == (da.folder / "run" / "key.txt").read_text().strip()
    assert record["code"] == results.code_hash(record["config"])
    assert record["domains"] == {"source": ["straight"], "target": ["rotated"]}
    assert record["rows"] == {"source": 900, "target": 720, "test": 200}
    assert record["command"].startswith("da train dataset=two_moons network=mlp steps=20 ")
    files = {path.name for path in (da.folder / "run").rglob("*") if path.is_file()}
    assert files >= {"result.json", "metrics.csv", "key.txt", "last.ckpt", "chosen.ckpt", "da.log"}
    assert not [name for name in files if "partial" in name]


def test_pictures_are_drawn(da: Any) -> None:
    ended = da("train", *da.small[:-1], "callback.tsne.rows=50", "hydra.run.dir=run")
    assert ended.code == 0
    actual = {path.name for path in (da.folder / "run").glob("*.png")}
    assert actual == {"curves.png", "confusion.png", "tsne.png"}


def test_a_finished_run_is_shown_without_training(da: Any) -> None:
    first = da.train()
    before = trained_at(da)
    second = da.train()
    assert second.code == 0
    assert "already done" in second.out
    assert trained_at(da) == before
    assert first.out[first.out.index("dann:") :] == second.out[second.out.index("dann:") :]


def test_a_finished_run_is_shown_without_torch(da: Any) -> None:
    da.train()
    arguments = ["train", *da.small, "hydra.run.dir=run"]
    code = (
        "import sys\nfrom da_framework.cli.main import main\n"
        f"main({arguments!r})\n"
        "print('torch:', 'torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "already done" in ended.stdout
    assert "torch: False" in ended.stdout


def test_again_trains_once_more_and_keeps_the_old(da: Any) -> None:
    da.train()
    before = da.weights()
    assert "before-1" in da.train("again=true").out
    assert same(da.weights(), before)
    assert same(da.weights("run/before-1"), before)
    assert da.record("run/before-1")["target"] == da.record()["target"]
    assert not (da.folder / "run" / "before-2").exists()


def test_another_run_in_the_folder_is_moved_aside_not_continued(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    da.train()
    da.train("seed=2")
    assert da.record("run/before-1")["config"]["seed"] == 1
    assert da.record()["config"]["seed"] == 2
    monkeypatch.setattr(results, "code_hash", lambda config: "another code")
    da.train("seed=2")
    assert da.record("run/before-2")["config"]["seed"] == 2
    assert da.record()["code"] == "another code"
    from da_framework.datasets.two_moons import TwoMoons

    monkeypatch.setattr(TwoMoons, "fingerprint", lambda self, name: "other data")
    da.train("seed=2")
    assert da.record("run/before-3")["code"] == "another code"
    assert da.record()["data"] == {"straight": "other data", "rotated": "other data"}
    # whoever was moved, the weights are those of a run in an empty folder
    da.train("seed=2", run="fresh")
    assert same(da.weights(), da.weights("fresh"))


def test_what_cannot_change_a_number_is_the_same_run(da: Any) -> None:
    da.train()
    ended = da.train("checkpoint_every=3", "data_dir=elsewhere", "trainer.accelerator=cpu")
    assert "already done" in ended.out


# what results depend on, and what not


@pytest.mark.parametrize(
    "method",
    [
        "dann",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("source_only", "control", "mmd")),
    ],
)
def test_target_labels_do_not_reach_the_weights(
    da: Any, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    arguments = ("train", *CONVNET, f"method={method}", "steps=6", "evaluate_every=3")
    assert da(*arguments, "hydra.run.dir=honest").code == 0
    with np.load(digits_files.PAIR) as archive:
        arrays = dict(archive)
    order = np.random.default_rng(0).permutation(len(arrays["y_usps"]))
    arrays["y_usps"] = arrays["y_usps"][order]
    shuffled = da.folder / "shuffled.npz"
    np.savez(shuffled, **arrays)
    monkeypatch.setattr("da_framework.datasets.digits.PAIR", shuffled)
    assert da(*arguments, "hydra.run.dir=shuffled").code == 0
    assert same(da.weights("honest"), da.weights("shuffled"))
    honest, other = da.record("honest"), da.record("shuffled")
    assert honest["data"]["usps"] != other["data"]["usps"]
    # the labels did change, and the choice did not
    assert honest["target"]["last"] != other["target"]["last"]
    assert honest["target"]["chosen"]["step"] == other["target"]["chosen"]["step"]
    assert [r["score"] for r in honest["curve"]] == [r["score"] for r in other["curve"]]


@pytest.mark.slow
def test_steps_in_a_lightning_batch_change_nothing(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ("network.dropout=0.3", "evaluate_every=7", "flush_every=4", "checkpoint_every=5")
    actual = []
    for run, tick in (("many", 0.0), ("one", 1.0), ("some", 0.03)):
        now = iter(np.arange(0, 1e4, tick) if tick else iter(lambda: 0.0, 1.0))
        monkeypatch.setattr(module, "perf_counter", lambda now=now: float(next(now)))
        assert da.train(*keys, run=run).code == 0
        actual.append((da.weights(run), da.record(run)["curve"], metrics(da, run)))
    for weights, curve, table in actual[1:]:
        assert same(weights, actual[0][0])
        assert curve == actual[0][1]
        assert table == actual[0][2]


def metrics(da: Any, run: str) -> str:
    return str((da.folder / run / "metrics.csv").read_text())


# sweeps


def test_a_sweep_goes_on_past_a_failing_job_and_continues_when_repeated(da: Any) -> None:
    arguments = ("train", *da.small, "-m", "method=joint", "dataset.labels_per_class=2,9999,3")
    first = da(*arguments)
    assert first.code == 2
    failed = [line for line in first.err.splitlines() if line.startswith("failed: da train ")]
    assert len(failed) == 1
    assert "dataset.labels_per_class=9999" in failed[0]
    assert "has only 339 training samples" in first.err
    assert "Traceback" not in first.err
    done = sorted(da.folder.glob("multirun/*/*/result.json"))
    assert len(done) == 2
    assert len({file.parents[1] for file in done}) == 1
    written = [file.stat().st_mtime_ns for file in done]

    second = da(*arguments)
    assert second.code == first.code
    assert second.err.splitlines()[-3:] == first.err.splitlines()[-3:]
    assert sorted(da.folder.glob("multirun/*/*/result.json")) == done
    assert [file.stat().st_mtime_ns for file in done] == written


def test_a_sweep_of_values_with_equals_signs_and_brackets_runs(da: Any) -> None:
    ended = da(
        "train", "-m", *da.small, "dataset.source=[straight],[rotated]", "dataset.target=null"
    )
    assert ended.code == 0, ended
    actual = [json.loads(file.read_text()) for file in da.folder.glob("multirun/*/*/result.json")]
    assert sorted(record["domains"]["source"] for record in actual) == [["rotated"], ["straight"]]


# kills

CONTINUED = (
    *("steps=60", "evaluate_every=5", "checkpoint_every=10", "flush_every=6"),
    *("network.dropout=0.5", "optimizer.momentum=0.9", "method=dann"),
    "validator._target_=early.score",
)

# likes all evaluations the same, so that a killed run has to remember the first
EARLY = "def score(outputs):\n    return 0.0\n"

SLOW = """
import sys, time
from da_framework.training import module
step = module.Adaptation.take_step
def slow(self, batch):
    time.sleep(0.02)
    step(self, batch)
module.Adaptation.take_step = slow
from da_framework.cli.main import main
main(sys.argv[1:])
"""


def kill_when(folder: Path, arguments: tuple[str, ...], begun: str, delay: float) -> None:
    """Starts a run in a process of its own and kills it some time after a file is there."""
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not (folder / begun).exists() and time.monotonic() < deadline:
        assert child.poll() is None
        time.sleep(0.005)
    time.sleep(delay)
    child.send_signal(signal.SIGKILL)
    child.wait()


def equal_to_undisturbed(da: Any, run: str, *, table: bool = True) -> None:
    for pick in ("last", "chosen"):
        assert same(da.weights(run, pick), da.weights("whole", pick))
    actual, expected = da.record(run), da.record("whole")
    for name in ("curve", "target", "source", "steps", "key"):
        assert actual[name] == expected[name]
    if table:
        assert metrics(da, run) == metrics(da, "whole")


@pytest.fixture
def whole(da: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The command of the run that nobody disturbed, which is done."""
    (da.folder / "early.py").write_text(EARLY)
    monkeypatch.syspath_prepend(da.folder)
    monkeypatch.delitem(sys.modules, "early", raising=False)
    torch.set_num_threads(1)  # as in the process that is killed
    da.train_once("undisturbed", *CONVNET, *CONTINUED, run="whole")
    assert da.record("whole")["target"]["chosen"]["step"] == 5
    return ("train", *CONVNET, *CONTINUED)


def test_a_killed_run_ends_as_if_nothing_had_happened(da: Any, whole: tuple[str, ...]) -> None:
    arguments = (*whole, "hydra.run.dir=killed")
    moment = 0.25 * float(np.random.default_rng().random())
    kill_when(da.folder / "killed", arguments, "checkpoints/last.ckpt", moment)
    assert not (da.folder / "killed" / "result.json").exists(), f"after {moment} s"
    ended = da(*arguments)
    assert ended.code == 0
    assert "continuing from" in ended.out
    equal_to_undisturbed(da, "killed")


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_begins_anew(
    da: Any, whole: tuple[str, ...]
) -> None:
    arguments = (*whole, "hydra.run.dir=killed")
    kill_when(da.folder / "killed", arguments, "checkpoints", 0.05)
    assert not list((da.folder / "killed" / "checkpoints").glob("last.ckpt"))
    ended = da(*arguments)
    assert ended.code == 0
    assert "continuing from" not in ended.out
    equal_to_undisturbed(da, "killed")


def test_a_run_killed_between_last_step_and_result_writes_it(
    da: Any, whole: tuple[str, ...]
) -> None:
    da.copy("whole", "killed")
    for name in ("result.json", "metrics.csv"):
        (da.folder / "killed" / name).unlink()
    assert da(*whole, "hydra.run.dir=killed").code == 0
    equal_to_undisturbed(da, "killed", table=False)


def test_a_run_killed_between_last_step_and_result_keeps_its_last_losses(
    da: Any, whole: tuple[str, ...]
) -> None:
    da.copy("whole", "killed")
    (da.folder / "killed" / "result.json").unlink()
    assert da(*whole, "hydra.run.dir=killed").code == 0
    assert metrics(da, "killed") == metrics(da, "whole")


def test_a_folder_that_another_process_trains_in_is_left_alone(da: Any) -> None:
    code = (
        "import sys, pathlib; from da_framework.core.files import run_lock\n"
        "with run_lock(pathlib.Path('run')): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    refused = da.train()
    assert refused.code == 2
    assert "another process works in" in refused.err
    assert not (da.folder / "run" / "result.json").exists()
    other.kill()
    other.communicate()
    assert da.train().code == 0


def test_a_run_that_is_stopped_short_leaves_no_result(da: Any) -> None:
    ended = da.train("steps=100000", "+trainer.max_time=00:00:00:01")
    assert ended.code == 2
    assert "of 100000" in ended.err
    assert not (da.folder / "run" / "result.json").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
def test_a_run_whose_checkpoint_is_damaged_says_so_and_begins_anew(da: Any, content: bytes) -> None:
    assert da.train().code == 0
    (da.folder / "run" / "result.json").unlink()
    (da.folder / "run" / "checkpoints" / "last.ckpt").write_bytes(content)
    ended = da.train()
    assert ended.code == 0
    assert "last.ckpt is damaged" in ended.out
    assert "the run begins anew" in ended.out


def test_an_option_that_the_loop_does_itself_is_refused(da: Any) -> None:
    ended = da.train("+trainer.gradient_clip_val=1.0")
    assert ended.code == 2
    assert ended.err.startswith("trainer: ")


def test_figures_that_are_not_finite_at_an_evaluation_stop_the_run(da: Any) -> None:
    ended = da.train("steps=1", "evaluate_every=1", "optimizer.lr=1.0e+30")
    assert ended.code == 3
    assert "not finite" in ended.err
    assert not (da.folder / "run" / "result.json").exists()


def test_a_learning_rate_factor_is_a_key_like_others(da: Any) -> None:
    assert da.train("optimizer.factor={network.encoder.backbone: 0.0}").code == 0
    weights = da.weights()
    assert da.train("seed=1", "steps=21", "optimizer.factor={network: 0.0}", run="other").code == 0
    name = "method.network.encoder.backbone.1.weight"
    assert torch.equal(weights[name], da.weights("other")[name])
    assert not torch.equal(
        weights["method.network.head.0.weight"], da.weights("other")["method.network.head.0.weight"]
    )


def test_jobs_of_a_process_read_their_data_once(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from da_framework.datasets.arrays import Arrays

    rng = np.random.default_rng(0)

    def save(shift: float) -> None:
        for name in ("a", "b"):
            x = rng.normal(size=(40, 3)).astype(np.float32) + shift
            np.savez(da.folder / f"{name}.npz", x=x, y=np.arange(40) % 2)

    loaded: list[str] = []
    load = Arrays.load

    def counted(dataset: Arrays, name: str) -> Any:
        loaded.append(name)
        return load(dataset, name)

    monkeypatch.setattr(Arrays, "load", counted)
    save(0.0)
    keys = ("dataset=arrays", f"dataset.root={da.folder}", "dataset.source=[a]", "steps=2")
    for method in ("source_only", "control"):
        assert da.train(*keys, f"method={method}", run=method).code == 0
    assert sorted(loaded) == ["a", "b"]
    save(1.0)
    assert da.train(*keys, "method=control", run="other").code == 0
    assert sorted(loaded) == ["a", "a", "b", "b"]


def test_a_large_data_set_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_cache, "KEPT", {})
    nodes = [compose("dataset=two_moons", f"dataset.rows={n}")["dataset"] for n in (50, 60, 70)]
    first, second = (dataset_cache.load_dataset(node) for node in nodes[:2])
    assert first.nbytes == 0
    assert first["straight"].x.nbytes == first.nbytes > 0
    assert dataset_cache.load_dataset(nodes[0]) is first
    monkeypatch.setattr(dataset_cache, "LARGE", first.nbytes - 1)
    assert dataset_cache.load_dataset(nodes[0]) is first, "the one in use stays"
    dataset_cache.load_dataset(nodes[2])
    assert dataset_cache.load_dataset(nodes[1]) is not second
    assert dataset_cache.load_dataset(nodes[0]) is not first


def test_classes_that_differ_by_case_alone_are_pointed_out(da: Any) -> None:
    for name, label in {"a": "cat", "b": "Cat"}.items():
        rows = [f"{row},{[label, 'dog'][row % 2]}" for row in range(40)]
        (da.folder / f"{name}.csv").write_text("\n".join(["x,label", *rows]))
    keys = ("dataset=table", f"dataset.root={da.folder}", "dataset.source=[a]", "steps=2")
    assert da.train(*keys, "dataset.target=[b]").code == 0
    output = (da.folder / "run" / "da.log").read_text()
    assert "warning: Cat is written otherwise in the source" in output


@pytest.mark.parametrize(
    ("method", "what"),
    [
        (
            "source_only",
            r"network of [\d,]+ parameters; 2 steps of \d+ source samples, after every 2 an "
            r"evaluation of 380$",  # 100 of the source; 80 of the target to choose by, 200 to test
        ),
        (
            "dann",
            r"network of [\d,]+ parameters, [\d,]+ with what the method adds; "
            r"2 steps of \d+ source \+ \d+ target samples",
        ),
        ("pca", r"network of [\d,]+ parameters, fitted at once"),
    ],
)
def test_what_will_be_trained_is_said_before(da: Any, method: str, what: str) -> None:
    network = ["network=identity"] if method == "pca" else []
    ended = da.train(f"method={method}", *network, "steps=2")
    assert ended.code == 0
    assert re.search(what, ended.err + ended.out, re.MULTILINE)


def test_what_is_no_method_is_a_line(da: Any) -> None:
    ended = da.train("~method", "+method={_target_: torch.nn.Identity, _partial_: true}")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("method: torch.nn.Identity is no method; it derives from Method")
