"""What ``da train`` leaves with W&B and TensorBoard, and what ``da sync`` makes of it."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import wandb
from omegaconf import OmegaConf
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from da_framework.cli.hydra_app import as_override
from da_framework.cli.main import main
from da_framework.cli.sync import is_sent
from da_framework.config.schema import check_config
from da_framework.config.settings import Settings
from da_framework.core.files import run_lock
from da_framework.training.build import compose
from da_framework.training.loggers.wandb import STEP, Wandb
from tests.conftest import SMALL, commanding
from tests.killed import Killed, die_at_steps
from tests.wandb_files import figures, of, offline_run, pieces, records, settings, summary, whole
from tests.wandb_server import KEY, Server, serving

WATCHED = (
    *(override for override in SMALL if not override.startswith(("logger", "callback"))),
    *("evaluate_every=5", "flush_every=2", "callback.tsne.rows=20"),
)
"""A small run with every picture and W&B."""

SWEEP = Path(__file__).parents[3] / "scripts" / "wandb_sweep.yaml"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving() as running:
        monkeypatch.setenv("WANDB_BASE_URL", running.address)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield running


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the one job of a sweep, offline although there is a key."""
    home = tmp_path_factory.mktemp("home")
    with commanding(home) as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_API_KEY", KEY)
        both = "logger=[wandb,tensorboard]"
        main(["train", "-m", *WATCHED, both, "method=mmd", "hydra.sweep.dir=sweeps/weights"])
    (folder,) = home.glob("sweeps/weights/mmd-*")
    return folder


@pytest.fixture(scope="module")
def logged_records(run: Path) -> list[Any]:
    return offline_run(run)


def curve(folder: Path) -> list[dict[str, float]]:
    """The rows of ``metrics.csv``, without the cells that are empty."""
    with (folder / "metrics.csv").open() as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def logged(rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Those of the curve, as ``metrics.csv`` has them."""
    kinds = ("train/", "score", "oracle/", "source/", "domains/", "diagnosis/")
    running = [row for row in rows if any(name.startswith(kinds) for name in row)]
    return [
        {"step": row[STEP], **{n: v for n, v in row.items() if n.startswith(kinds)}}
        for row in running
    ]


# one run


def test_it_is_known_by_its_sweep_method_and_data(run: Path, logged_records: list[Any]) -> None:
    last = of(logged_records, "run")[-1]
    assert (last.run_group, last.job_type) == ("weights", "mmd")
    assert list(last.tags) == ["two_moons", "straight -> rotated"]
    assert (last.project, last.display_name) == ("da_framework", run.name)
    assert last.run_id == (run / "wandb.id").read_text()


def test_its_config_is_the_whole_config_and_the_code(run: Path, logged_records: list[Any]) -> None:
    record = json.loads((run / "result.json").read_text())
    known = settings(logged_records)
    assert {name: known[name] for name in record["config"]} == record["config"]
    assert known["code"] == record["code"]
    (piece,) = pieces(run)
    assert "torch==" in (piece.parent / "files" / "requirements.txt").read_text()


def test_every_point_of_the_curve_is_there(run: Path, logged_records: list[Any]) -> None:
    expected = curve(run)
    assert len(expected) > 10
    assert logged(figures(logged_records)) == expected
    assert {own.glob_name: own.step_metric for own in of(logged_records, "metric")}["*"] == STEP


def test_the_summary_has_the_three_numbers(run: Path, logged_records: list[Any]) -> None:
    target = json.loads((run / "result.json").read_text())["target"]
    known = summary(logged_records)
    for pick in ("last", "chosen", "oracle"):
        assert known[f"target/{pick}"] == target[pick]["accuracy"]


def test_the_pictures_are_those_of_the_folder(run: Path, logged_records: list[Any]) -> None:
    (row,) = [
        row for row in figures(logged_records) if any(name.startswith("tsne") for name in row)
    ]
    media = next((run / "wandb").glob("offline-run-*/files"))
    for name in ("tsne", "confusion", "curves"):
        path = row.get(f"{name}.path") or row[name]["path"]
        assert (media / path).read_bytes() == (run / f"{name}.png").read_bytes()


def test_a_table_has_every_class_of_every_pick(run: Path) -> None:
    (file,) = run.glob("wandb/offline-run-*/files/media/table/classes_*.json")
    table = json.loads(file.read_text())
    assert table["columns"] == ["pick", "class", "precision", "recall", "f1"]
    record = json.loads((run / "result.json").read_text())
    target, measures = record["target"], ("precision", "recall", "f1")
    assert table["data"] == [
        [pick, label, *(target[pick][f"{measure}_per_class"][row] for measure in measures)]
        for pick in ("last", "chosen", "oracle")
        for row, label in enumerate(record["classes"])
    ]


def test_a_table_has_the_confusion_matrix_and_another_what_it_counts(run: Path) -> None:
    record = json.loads((run / "result.json").read_text())

    def table(name: str) -> Any:
        (file,) = run.glob(f"wandb/offline-run-*/files/media/table/{name}_*.json")
        return json.loads(file.read_text())

    matrix = table("confusion_matrix")
    assert matrix["columns"] == ["true", "predicted", "samples"]
    right = sum(count for true, guess, count in matrix["data"] if true == guess)
    wrong = sum(count for true, guess, count in matrix["data"] if true != guess)
    last = record["target"]["last"]
    assert (right / (right + wrong), right + wrong) == (last["accuracy"], last["rows"])
    samples = table("misclassified")
    assert samples["columns"][:4] == ["sample", "domain", "true", "predicted"]
    assert len(samples["data"]) == min(wrong, 32)
    assert all(row[2] != row[3] for row in samples["data"])


def test_the_checkpoints_are_an_artifact_and_not_copied(
    run: Path, logged_records: list[Any]
) -> None:
    models = [own for own in of(logged_records, "artifact") if own.type == "model"]
    aliases = {alias for own in models for alias in own.aliases}
    assert {"last", "chosen"} <= aliases
    target = json.loads((run / "result.json").read_text())["target"]
    files = {}
    for running in models:
        (entry,) = running.manifest.contents
        for alias in running.aliases:
            files[alias] = Path(entry.local_path)
    assert files["last"] == run / "checkpoints" / "last.ckpt"
    same = target["chosen"]["step"] == target["last"]["step"]
    assert files["chosen"] == run / "checkpoints" / ("last.ckpt" if same else "chosen.ckpt")


def test_tensorboard_has_the_same_points(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard")).Reload()
    for name in ("score", "oracle/accuracy", "train/source"):
        points = {own.step: own.value for own in events.Scalars(name)}
        expected = {int(row["step"]): row[name] for row in curve(run) if name in row}
        assert points == pytest.approx(expected)
    (last,) = events.Scalars("target/last")
    assert last.step == 20


def test_the_key_is_nowhere(run: Path) -> None:
    files = [file for file in run.rglob("*") if file.is_file()]
    assert len(files) > 10
    assert [file for file in files if KEY.encode() in file.read_bytes()] == []


# a server


def test_a_run_arrives_whole_and_one_that_could_not_is_sent_later(da: Any, server: Server) -> None:
    watched = ("train", *WATCHED[:-1], "callback=[]", "logger.wandb.patience=2.0")
    ended = da(*watched, "hydra.run.dir=whole")
    assert ended.code == 0
    assert "offline" not in ended.out + ended.err
    (run,) = server.runs
    assert logged(server.history(run)) == curve(da.folder / "whole")
    assert all(is_sent(file) for file in pieces(da.folder / "whole"))
    files = [file for file in da.folder.rglob("*") if file.is_file()]
    assert [file for file in files if KEY.encode() in file.read_bytes()] == []

    server.runs.clear()
    server.leaving = True
    began = time.perf_counter()
    ended = da(*watched, "hydra.run.dir=lost", "seed=2")
    assert ended.code == 0
    assert time.perf_counter() - began < 20
    assert (ended.out + ended.err).count("W&B is offline") == 1
    assert (da.folder / "lost" / "result.json").exists()
    server.leaving = False

    nothing = da("sync", "lost")
    assert (nothing.code, "nothing was sent" in nothing.err) == (2, True)
    server.lost = False
    ended = da("sync", ".")
    assert ended.code == 0, ended
    ours = [line for line in ended.out.splitlines() if not line.startswith("wandb: ")]
    assert ours == ["1 sent already", "2 of 2 sent"]
    (run,) = server.runs
    assert run == (da.folder / "lost" / "wandb.id").read_text()
    assert logged(server.history(run)) == curve(da.folder / "lost")
    assert da("sync", ".").out.splitlines() == ["3 sent already", "nothing to send"]


def test_what_cannot_be_sent_is_said(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert da("sync").code == 2
    ended = da("sync", "nowhere")
    assert (ended.code, ended.err) == (2, "there is no folder nowhere\n")
    assert da("sync", ".").out == "nothing to send\n"
    piece = da.folder / "run" / "wandb" / "offline-run-1-a" / "run-a.wandb"
    piece.parent.mkdir(parents=True)
    piece.write_bytes(b"1234567")
    assert da("sync", ".").out == "nothing to send\n"  # a file that holds nothing yet
    piece.write_bytes(b"12345678")
    ended = da("sync", "run")
    assert ended.code == 2
    assert "no API key: run wandb login" in ended.err
    with run_lock(da.folder / "run"):
        ended = da("sync", ".")
    assert ended.out.splitlines() == [
        "1 of runs still training: left alone",
        "nothing to send",
    ]


def test_a_damaged_run_is_named_and_the_exit_code_tells(da: Any, server: Server) -> None:
    piece = da.folder / "run" / "wandb" / "offline-run-1-a" / "run-a.wandb"
    piece.parent.mkdir(parents=True)
    piece.write_bytes(b"no such file" * 9)
    ended = da("sync", ".")
    assert ended.code == 2
    assert f"{piece}\nwere not sent" in ended.err


# a kill


def test_what_the_client_had_not_written_is_given_to_it_again(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (
        *(*SMALL[:2], "callback=[]", "hydra.run.dir=run", "steps=12"),
        *("flush_every=2", "evaluate_every=4", "checkpoint_every=4"),
    )
    monkeypatch.setenv("WANDB_MODE", "offline")
    log = Wandb.log_metrics

    def lose_the_last(self: Wandb, metrics: Mapping[str, Any], step: int) -> None:
        if step < 8:
            log(self, metrics, step)

    with monkeypatch.context() as patch:
        patch.setattr(Wandb, "log_metrics", lose_the_last)
        die_at_steps(patch, 10)
        with pytest.raises(Killed):
            da("train", *overrides)
    ended = da("train", *overrides)
    assert "continuing from" in ended.out, ended
    rows = [row for file in pieces(da.folder / "run") for row in logged(figures(whole(file)))]
    together = {(row["step"], *sorted(row)): row for row in rows}
    assert sorted(together.values(), key=str) == sorted(curve(da.folder / "run"), key=str)


@pytest.mark.slow
def test_a_kill_loses_no_row_and_the_same_command_is_the_same_run(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [
        *(*SMALL[:2], "callback=[]", "hydra.run.dir=run", "steps=800"),
        *("evaluate_every=50", "checkpoint_every=150", "flush_every=25"),
    ]
    folder = da.folder / "run"
    monkeypatch.setenv("WANDB_MODE", "offline")
    # it begins a client of its own, which dies with it
    environment = {name: own for name, own in os.environ.items() if name != "WANDB_SERVICE"}
    command = [sys.executable, "-m", "da_framework", "train", *overrides]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not (folder / "checkpoints" / "last.ckpt").is_file():
            assert time.monotonic() < deadline, "it never began"
            time.sleep(0.01)
        seen = curve(folder)
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGKILL)
    assert not (folder / "result.json").exists()
    (first,) = pieces(folder)
    before = logged(figures(list(records(first))))
    assert before[: len(seen)] == seen  # all that had been read by then

    ended = da("train", *overrides)
    assert ended.code == 0
    assert "continuing from" in ended.out, ended
    assert "W&B" not in ended.out + ended.err
    first, second = pieces(folder)
    after = logged(figures(whole(second)))
    together = {(row["step"], *sorted(row)): row for row in (*before, *after)}
    assert sorted(together.values(), key=str) == sorted(curve(folder), key=str)
    ids = {own.run_id for own in of([*records(first), *whole(second)], "run")}
    assert ids == {(folder / "wandb.id").read_text()}


# W&B's own sweeps


@pytest.mark.parametrize("hyphens", [False, True])
def test_an_agent_of_a_sweep_runs_the_command(
    hyphens: bool, da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep: Any = OmegaConf.to_container(OmegaConf.create(SWEEP.read_text()), resolve=False)
    assert sweep["metric"] == {"name": "score", "goal": "maximize"}
    drawn = {
        name: {"value": own["values"][0] if "values" in own else own["min"]}
        for name, own in sweep["parameters"].items()
    }
    arguments = create_sweep_command_args({"args": drawn})
    command: list[str] = []
    words = sweep["command"]
    if hyphens:  # --key=value, as W&B writes where nobody has said otherwise
        words = ["${args}" if word == "${args_no_hyphens}" else word for word in words]
    for word in create_sweep_command(words):
        given = arguments.get(word.removeprefix("${").removesuffix("}"))
        command += given if given is not None else [word]
    assert command[1:3] == ["da", "train"]
    overrides = command[3:]
    assert all(word.startswith("--") is hyphens for word in overrides)
    check_config(compose(*map(as_override, overrides)), Settings)

    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.teardown()  # the client reads its environment once
    with monkeypatch.context() as agent:
        agent.setenv("WANDB_SWEEP_ID", "abcd1234")
        agent.setenv("WANDB_RUN_ID", "run5678")
        ended = da("train", *SMALL[:3], *overrides, "callback=[]", "hydra.run.dir=run")
    wandb.teardown()
    assert ended.code == 0, ended
    last = of(offline_run(da.folder / "run"), "run")[-1]
    assert (last.run_id, last.sweep_id) == ("run5678", "abcd1234")
