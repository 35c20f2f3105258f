"""Weights & Biases by its own client, without a server and with one on the loopback."""

import json
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from da_framework.callbacks.base import Table
from da_framework.cli.sync import is_sent
from da_framework.core.errors import InputError
from da_framework.training.loggers import tensorboard as tensorboard_logger
from da_framework.training.loggers import wandb as loggers
from da_framework.training.loggers.wandb import STEP, Wandb
from da_framework.training.loggers.wandb_connection import netrc_key, why_offline
from da_framework.training.run_log import close_loggers
from tests.wandb_files import BLOCK, figures, of, offline_run, pieces, records, settings, whole
from tests.wandb_server import KEY, Server, serving


@pytest.fixture(autouse=True)
def _nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no server, nobody at the keyboard."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed_port()}")

    def asked(*message: object, **keys: object) -> str:
        raise AssertionError(f"asked for {message}")

    monkeypatch.setattr("builtins.input", asked)
    monkeypatch.setattr("getpass.getpass", asked)


def closed_port() -> int:
    with socket.socket() as client:
        client.bind(("127.0.0.1", 0))
        port: int = client.getsockname()[1]
        return port


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One that knows the key."""
    with serving() as client:
        monkeypatch.setenv("WANDB_BASE_URL", client.address)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield client


def logger(folder: Path, **keys: Any) -> Wandb:
    given: dict[str, Any] = {
        **{"project": "p", "group": None, "job_type": "dann", "tags": ["digits"]},
        **{"checkpoints": True, "patience": 2.0},
    }
    return Wandb(folder=str(folder), **(given | keys))


def score(client: Wandb, *steps: int) -> None:
    for step in steps:
        client.log_metrics({"score": 0.25 * step}, step=step)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        r.getMessage()
        for r in caplog.records
        if r.name == "da_framework.training.loggers.wandb" and r.levelno >= logging.WARNING
    ]


def scores(rows: list[dict[str, Any]]) -> list[float]:
    return [row["score"] for row in rows if "score" in row]


# offline


def test_without_a_key_a_run_is_offline_and_nobody_is_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    client = logger(folder, group="sweep", tags=["digits", "t" * 100])
    client.log_hyperparams({"seed": 3, "method": {"weight": 0.5}, "notes": "n" * 2 * BLOCK})
    client.log_tag("domains", "mnist -> usps")
    for step in range(3):
        client.log_metrics({"train/source": 1.5 - step, "score": 0.25 * step}, step=10 * step)
    close_loggers([client], done=True)
    assert warnings(caplog) == [
        f"W&B is offline (no API key: run wandb login); send it later: da sync {folder}"
    ]
    assert "".join(capfd.readouterr()).strip() == ""
    actual = offline_run(folder)
    rows = [row for row in figures(actual) if "score" in row]
    assert [row["train/source"] for row in rows] == [1.5, 0.5, -0.5]
    assert [row["score"] for row in rows] == [0.0, 0.25, 0.5]
    assert [row[STEP] for row in rows] == [0, 10, 20]
    known = settings(actual)
    assert known["seed"] == 3
    assert known["notes"] == "n" * 2 * BLOCK  # longer than a block
    assert known["method"] == {"weight": 0.5}
    (run,) = {own.run_id for own in of(actual, "run")}
    assert len(run) == 16
    first, *_, last = of(actual, "run")
    assert (first.project, first.display_name) == ("p", "run")
    assert (first.run_group, first.job_type) == ("sweep", "dann")
    assert list(last.tags) == ["digits", "t" * 64, "mnist -> usps"]
    axes = {own.glob_name or own.name: own.step_metric for own in of(actual, "metric")}
    assert axes["*"] == STEP
    assert [own.exit_code for own in of(actual, "exit")] == [0]


def test_an_unreachable_server_makes_a_run_offline_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    begun = time.perf_counter()
    client = logger(tmp_path / "run")
    assert time.perf_counter() - begun < 5
    score(client, 1)
    close_loggers([client], done=True)
    (line,) = warnings(caplog)
    assert line.startswith("W&B is offline (127.0.0.1:")
    assert "does not answer" in line
    assert scores(figures(offline_run(tmp_path / "run"))) == [0.25]


def test_two_runs_of_a_process_are_two_runs_there(tmp_path: Path) -> None:
    ids = []
    for number, name in enumerate(("one", "two")):
        client = logger(tmp_path / name)
        client.log_hyperparams({"seed": number})
        client.log_metrics({"score": float(number)}, step=1)
        close_loggers([client], done=True)
    for number, name in enumerate(("one", "two")):
        actual = offline_run(tmp_path / name)
        assert scores(figures(actual)) == [float(number)]
        assert settings(actual)["seed"] == number
        ids += [own.run_id for own in of(actual, "run")][:1]
    assert len(set(ids)) == 2


def test_the_environment_says_offline_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr(loggers, "why_offline", lambda: 1 / 0)
    client = logger(tmp_path / "run")
    score(client, 1)
    close_loggers([client], done=True)
    assert not warnings(caplog)
    assert not pieces(tmp_path / "run")


def test_a_run_has_the_entity_name_and_notes_that_are_given(tmp_path: Path) -> None:
    client = logger(tmp_path / "run", entity="team", name="first", notes="a try")
    client.finish(done=True)
    run = of(offline_run(tmp_path / "run"), "run")[0]
    assert (run.entity, run.display_name, run.notes) == ("team", "first", "a try")


def test_a_table_has_pictures(tmp_path: Path) -> None:
    client = logger(tmp_path / "run")
    picture = np.full((2, 3, 3), 7, dtype=np.uint8)
    client.log_rows("misclassified", Table(["sample", "picture"], [["a", picture]]), 3)
    client.finish(done=True)
    (table,) = of(offline_run(tmp_path / "run"), "artifact")
    files = {entry.path: Path(entry.local_path) for entry in table.manifest.contents}
    ((name, cell),) = json.loads(files["misclassified.table.json"].read_text())["data"]
    assert (name, cell["_type"]) == ("a", "image-file")
    with Image.open(files[cell["path"]]) as image:
        assert (np.asarray(image) == picture).all()


def test_a_run_that_did_not_end_well_says_so(tmp_path: Path) -> None:
    client = logger(tmp_path / "run")
    close_loggers([client], done=False)
    assert [own.exit_code for own in of(offline_run(tmp_path / "run"), "exit")] == [1]


def test_where_even_files_fail_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    client = logger(tmp_path / "run")
    client.log_checkpoints({tmp_path / "gone.ckpt": ["last"]})
    score(client, 1)
    close_loggers([client], done=True)
    (line,) = warnings(caplog)
    assert line.startswith("W&B fails (")
    assert "gone.ckpt" in line
    assert line.endswith("the run goes on without it")


# whether there is a server


def test_a_key_and_a_server_mean_online(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert why_offline() == ""
    host = server.address.removeprefix("http://")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert why_offline() == f"{host} refuses the API key"
    monkeypatch.delenv("WANDB_API_KEY")
    assert why_offline() == "no API key: run wandb login"
    (tmp_path / "netrc").write_text(f"machine {host} login user password {KEY}\n")
    assert why_offline() == ""
    server.delay = 3.0
    begun = time.perf_counter()
    assert why_offline(patience=0.2) == f"{host} does not answer: timed out"
    assert time.perf_counter() - begun < 1


def test_a_key_in_the_netrc_counts(tmp_path: Path) -> None:
    assert netrc_key("api.wandb.ai") is None
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert netrc_key("api.wandb.ai") == "secret"
    assert netrc_key("elsewhere.org") is None
    assert "does not answer" not in why_offline()  # a key of another host is none
    (tmp_path / "netrc").write_text("no netrc file at all {")
    assert netrc_key("api.wandb.ai") is None


# online


def test_a_run_arrives_and_goes_on_as_the_same_run(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    checkpoint = tmp_path / "last.ckpt"
    checkpoint.write_bytes(b"weights")
    for steps in ((1, 2, 3), (4, 5)):
        client = logger(folder, group="sweep")
        client.log_hyperparams({"seed": 3})
        score(client, *steps)
        client.log_checkpoints({checkpoint: ["last", "chosen"]})
        close_loggers([client], done=True)
    ((run, output),) = server.runs.items()
    assert run == (folder / "wandb.id").read_text()
    assert (output["project"], output["groupName"], output["jobType"]) == ("p", "sweep", "dann")
    assert json.loads(output["config"])["seed"] == {"value": 3}
    assert scores(server.history(run)) == [0.25, 0.5, 0.75, 1.0, 1.25]
    assert server.ended[run] == 0
    assert server.resumed == [3]
    aliases = [{own["alias"] for own in artifact["aliases"]} for artifact in server.artifacts]
    assert aliases[0] >= {"last", "chosen"}
    assert {"requirements.txt", "wandb-metadata.json"} <= server.files
    assert all(is_sent(file) for file in pieces(folder))
    assert not warnings(caplog)


def refused(server: Server) -> None:
    server.key = "another"


def lost(server: Server) -> None:
    server.lost = True


def slow(server: Server) -> None:
    server.delay = 60.0


@pytest.mark.parametrize("fault", [refused, lost, slow])
@pytest.mark.parametrize("when", ["before", "amid"])
def test_training_does_not_wait_for_a_server_that_fails(
    when: str, fault: Any, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    begun = time.perf_counter()
    if when == "before":
        fault(server)
    client = logger(folder, patience=1.0)
    score(client, 1, 2)
    if when == "amid":
        assert server.runs
        fault(server)
    begun = time.perf_counter()
    score(client, 3, 4)
    assert time.perf_counter() - begun < 0.5
    client.ensure()
    client.log_table("classes", columns=["class"], data=[["a"]], step=4)
    close_loggers([client], done=True)
    assert time.perf_counter() - begun < 10
    (line,) = warnings(caplog)
    assert line.startswith("W&B is offline (127.0.0.1:")
    assert line.endswith(f"send it later: da sync {folder}")
    *broken, last = pieces(folder)
    actual = [*(record for file in broken for record in records(file)), *whole(last)]
    kept = figures(actual)
    assert scores(kept) == [0.25, 0.5, 0.75, 1.0]
    assert {own.run_id for own in of(actual, "run")} == {(folder / "wandb.id").read_text()}
    assert any("classes" in row or "classes._type" in row for row in kept)
    assert not any(is_sent(file) for file in pieces(folder))


def test_a_client_that_dies_takes_nothing_with_it(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    client = logger(folder)
    client.log_hyperparams({"seed": 3})
    score(client, 1, 2)
    time.sleep(0.4)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    (core,) = [c for c in children if "wandb-core" in Path(f"/proc/{c}/cmdline").read_text()]
    os.kill(int(core), signal.SIGKILL)
    time.sleep(0.2)
    score(client, 3, 4)
    close_loggers([client], done=True)
    (line,) = warnings(caplog)
    assert line.startswith("W&B is offline (")
    first, second = pieces(folder)
    assert scores(figures(list(records(first)))) == [0.25, 0.5]
    assert scores(figures(whole(second))) == [0.75, 1.0]
    assert settings(whole(second))["seed"] == 3


# others


def test_closing_ends_every_logger() -> None:
    ended: list[str] = []
    client: Any = SimpleNamespace(finalize=ended.append)
    close_loggers([client, client], done=True)
    close_loggers([client], done=False)
    close_loggers([], done=True)
    assert ended == ["success", "success", "failed"]


def test_tensorboard_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*message: object, **keys: object) -> None:
        raise ModuleNotFoundError("no tensorboard")

    monkeypatch.setattr(tensorboard_logger, "TensorBoardLogger", gone)
    with pytest.raises(InputError, match=r"pip install 'da_framework\[tensorboard\]'"):
        tensorboard_logger.tensorboard(folder=str(tmp_path))
