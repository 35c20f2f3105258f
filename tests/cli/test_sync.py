"""Which files of W&B are sent, and what one run's damage does to others."""

from pathlib import Path

import pytest

from da_framework.cli import sync
from da_framework.cli.sync import EMPTY, wandb_files
from da_framework.core.errors import InputError
from da_framework.results.folder import RunFolder


def test_a_link_to_what_is_elsewhere_is_not_followed(tmp_path: Path) -> None:
    place = tmp_path / "other" / "wandb" / "run-1"
    place.mkdir(parents=True)
    (place / "run-1.wandb").write_bytes(bytes(EMPTY + 1))
    folder = tmp_path / "runs" / "wandb"
    folder.mkdir(parents=True)
    (folder / "run-2").mkdir()
    (folder / "run-2" / "run-1.wandb").symlink_to(place / "run-1.wandb")
    assert wandb_files(tmp_path / "runs") == []
    assert wandb_files(tmp_path / "other") == [place / "run-1.wandb"]
    assert set(wandb_files(tmp_path)) == {place / "run-1.wandb", folder / "run-2" / "run-1.wandb"}
    link = tmp_path / "link"  # the folder itself may be one
    link.symlink_to(tmp_path / "other")
    assert wandb_files(link) == [link / "wandb" / "run-1" / "run-1.wandb"]


def test_a_run_that_is_damaged_keeps_no_other_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="needs mlflow-skinny")
    errors: dict[str, Exception] = {
        "a": InputError("metrics.csv is damaged"),
        "b": AttributeError("'int' object has no attribute 'items'"),
        "c": KeyError("code"),
    }
    runs = [RunFolder(tmp_path / name) for name in (*errors, "d")]

    def send(run: RunFolder, uri: str) -> str:
        if error := errors.get(run.path.name):
            raise error
        return "sent to MLflow"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///store.db")
    monkeypatch.setattr(sync, "find_finished_runs", lambda folder: runs)
    monkeypatch.setattr(sync, "mlflow_keys", lambda run: {})
    monkeypatch.setattr(sync, "is_training", lambda folder: False)
    monkeypatch.setattr(sync, "send_run", send)
    lines = sync.send_to_mlflow([tmp_path])
    assert [": not sent to MLflow: " in line for line in lines] == [True, True, True, False]
    assert lines[0].endswith("metrics.csv is damaged")
