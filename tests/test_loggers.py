import json
import logging
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2

from da_framework import loggers
from da_framework.loggers import close, netrc_key, wandb, why_offline

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


Record: Any = vars(wandb_internal_pb2)["Record"]
"""One entry of such a file; its class is made when the module is imported."""


def records(file: Path) -> Iterator[Any]:
    """What an offline run holds: LevelDB's log format under a header of seven bytes."""
    data, position, whole = file.read_bytes(), HEADER, b""
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left  # padding
            continue
        checksum, length, kind = struct.unpack_from("<IHB", data, position)
        piece = data[position + HEADER : position + HEADER + length]
        if len(piece) < length:
            return  # a short tail
        assert checksum == zlib.crc32(bytes([kind]) + piece) & 0xFFFFFFFF
        position += HEADER + length
        whole = piece if kind in (FULL, FIRST) else whole + piece
        if kind in (FULL, LAST):
            record = Record()
            record.ParseFromString(whole)
            yield record


def offline_run(folder: Path) -> list[Any]:
    """The whole run: W&B's own process may write its last block after ``finish`` has returned."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    deadline = time.monotonic() + 20
    found = list(records(file))
    while not any(own.WhichOneof("record_type") == "exit" for own in found):
        assert time.monotonic() < deadline, "the run never ended"
        time.sleep(0.05)
        found = list(records(file))
    return found


def figures(found: list[Any]) -> list[dict[str, Any]]:
    """The rows of the history."""
    return [
        {
            item.key or ".".join(item.nested_key): json.loads(item.value_json)
            for item in own.history.item
        }
        for own in found
        if own.WhichOneof("record_type") == "history"
    ]


def settings(found: list[Any]) -> dict[str, Any]:
    """The config, as last updated."""
    known: dict[str, Any] = {}
    for own in found:
        kind = own.WhichOneof("record_type")
        if kind in ("run", "config"):
            update = own.run.config.update if kind == "run" else own.config.update
            known |= {item.key: json.loads(item.value_json) for item in update if item.key}
    return known


@pytest.fixture(autouse=True)
def _nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no server, nobody at the keyboard."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed_port()}")

    def asked(*words: object, **keys: object) -> str:
        raise AssertionError(f"asked for {words}")

    monkeypatch.setattr("builtins.input", asked)
    monkeypatch.setattr("getpass.getpass", asked)


def closed_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        port: int = own.getsockname()[1]
        return port


def logger(folder: Path, **keys: Any) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    given: dict[str, Any] = {"project": "p", "group": None, "job_type": "dann", "tags": ["digits"]}
    return wandb(folder=str(folder), **(given | keys))


def test_without_a_key_a_run_is_offline_and_nobody_is_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with caplog.at_level(logging.INFO, logger="da_framework"):
        own = logger(folder, group="sweep")
        own.log_hyperparams({"seed": 3, "method": {"weight": 0.5}, "notes": "n" * 2 * BLOCK})
        for step in range(3):
            own.log_metrics({"train/source": 1.5 - step, "score": 0.25 * step}, step=10 * step)
        close([own])
    lines = [r.getMessage() for r in caplog.records if r.name == "da_framework.loggers"]
    assert lines == [
        "W&B is offline (no API key: run wandb login); "
        f"send it later: wandb sync {folder}/wandb/offline-run-*"
    ]
    assert "".join(capfd.readouterr()).strip() == ""
    found = offline_run(folder)
    rows = [row for row in figures(found) if "score" in row]
    assert [row["train/source"] for row in rows] == [1.5, 0.5, -0.5]
    assert [row["score"] for row in rows] == [0.0, 0.25, 0.5]
    assert [row["trainer/global_step"] for row in rows] == [0, 10, 20]
    known = settings(found)
    assert known["seed"] == 3
    assert known["notes"] == "n" * 2 * BLOCK  # longer than a block
    assert {"weight": 0.5} in known.values() or known.get("method/weight") == 0.5
    (run,) = {own.run.run_id for own in found if own.WhichOneof("record_type") == "run"}
    assert len(run) == 16
    first = next(own.run for own in found if own.WhichOneof("record_type") == "run")
    assert (first.project, first.display_name) == ("p", "run")
    assert (first.run_group, first.job_type, list(first.tags)) == ("sweep", "dann", ["digits"])


def test_an_unreachable_server_makes_a_run_offline_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    begun = time.perf_counter()
    with caplog.at_level(logging.INFO, logger="da_framework"):
        own = logger(tmp_path / "run")
    assert time.perf_counter() - begun < 5
    own.log_metrics({"score": 1.0}, step=1)
    close([own])
    (line,) = [r.getMessage() for r in caplog.records if r.name == "da_framework.loggers"]
    assert line.startswith("W&B is offline (127.0.0.1 does not answer: ")
    assert any(row.get("score") == 1.0 for row in figures(offline_run(tmp_path / "run")))


def test_two_runs_of_a_process_are_two_runs_there(tmp_path: Path) -> None:
    ids = []
    for number, name in enumerate(("one", "two")):
        own = logger(tmp_path / name)
        own.log_hyperparams({"seed": number})
        own.log_metrics({"score": float(number)}, step=1)
        close([own])
    for number, name in enumerate(("one", "two")):
        found = offline_run(tmp_path / name)
        assert [row["score"] for row in figures(found) if "score" in row] == [float(number)]
        assert settings(found)["seed"] == number
        ids += [own.run.run_id for own in found if own.WhichOneof("record_type") == "run"][:1]
    assert len(set(ids)) == 2


def test_the_environment_says_offline_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr(loggers, "why_offline", lambda: 1 / 0)
    with caplog.at_level(logging.INFO, logger="da_framework"):
        close([logger(tmp_path / "run")])
    assert not caplog.records
    assert not list(tmp_path.glob("run/wandb/offline-run-*"))


def test_a_key_and_a_server_mean_online(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert why_offline() == "no API key: run wandb login"
        monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
        assert why_offline() == ""


def test_a_key_in_the_netrc_counts(tmp_path: Path) -> None:
    assert netrc_key("api.wandb.ai") is None
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert netrc_key("api.wandb.ai") == "secret"
    assert netrc_key("elsewhere.org") is None
    assert "does not answer" not in why_offline()  # a key of another host is none
    (tmp_path / "netrc").write_text("no netrc file at all {")
    assert netrc_key("api.wandb.ai") is None


def test_closing_ends_every_run_and_bears_loggers_without_one() -> None:
    ended: list[str] = []
    with_run = SimpleNamespace(
        finalize=ended.append, experiment=SimpleNamespace(finish=lambda: ended.append("finish"))
    )
    without = SimpleNamespace(finalize=ended.append, experiment=SimpleNamespace())
    close([with_run, without])
    assert ended == ["success", "finish", "success"]
    close([])
