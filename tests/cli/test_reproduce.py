"""``da reproduce``: what is run, and when it ends with 1."""

import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from da_framework.cli import reproduce
from da_framework.cli.reproduce import launcher_overrides, seed_overrides
from da_framework.cli.sweeps import STATES
from da_framework.config import plugins
from da_framework.core.errors import InputError
from da_framework.core.files import run_lock, write_text
from tests.run_records import paper_table, reproduced_record


def test_seeds_and_jobs_become_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stated = paper_table(tmp_path)
    assert seed_overrides(stated, None) == launcher_overrides(None) == []
    assert seed_overrides(stated, "2") == ["seed=2"]
    assert launcher_overrides(3) == ["hydra/launcher=joblib", "hydra.launcher.n_jobs=3"]
    with pytest.raises(InputError, match=r"--seeds 3: some/table has the seeds 1, 2; seed=3"):
        seed_overrides(stated, "1,3")
    with pytest.raises(InputError, match="go through no seeds"):
        seed_overrides(paper_table(tmp_path, params={}), "1")
    with pytest.raises(InputError, match="at least one run"):
        launcher_overrides(0)

    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(plugins, "distribution", absent)
    with pytest.raises(InputError, match=r"--jobs 2 needs hydra-joblib-launcher: pip install"):
        launcher_overrides(2)


def test_options_reach_the_sweep_and_only_what_is_asked_for_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []
    given = paper_table(tmp_path, quick=["steps=5"])
    monkeypatch.setattr(reproduce, "find_experiments", lambda: {"some/table": given.file})
    monkeypatch.setattr(reproduce, "load_experiment", lambda name: given)
    monkeypatch.setattr(reproduce, "run_sweep", lambda stated, overrides: ran.append(overrides))
    monkeypatch.setattr(
        reproduce, "gather_records", lambda folders: [reproduced_record("dann", 0.7)]
    )
    for name in ("runs", "runs-steps_9", "runs-quick"):
        (tmp_path / name).mkdir()
    reproduce.main(["some/table", "--cells", "dann/a-b", "--seeds", "1", "--jobs", "2", "steps=9"])
    jobs = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    apart = f"hydra.sweep.dir={tmp_path}/runs-steps_9"
    assert ran == [["seed=1", *jobs, "steps=9", apart, "method=dann", "dataset.pair=[a,b]"]]
    output = capsys.readouterr().out
    assert "| `dann` | a-b |" in output
    assert "source_only" not in output
    with pytest.raises(SystemExit):  # two of its cells were not run
        reproduce.main(["some/table"])
    assert ran[1:] == [[]]
    assert "| inside |" in capsys.readouterr().out
    reproduce.main(["some/table", "--quick"])
    assert ran[2:] == [["steps=5", f"hydra.sweep.dir={tmp_path}/runs-quick"]]
    output = capsys.readouterr().out
    assert "| inside |" not in output
    assert "No verdict: --quick runs it with steps=5." in output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["hydra.sweep.dir=there"], r"hydra\.sweep\.dir=there: the table reads "),
        (["--cells", "dann/*", "method=mmd"], "method=mmd: --cells says already which"),
        (["--cells", "dann/*", "dataset.pair=[a,b]"], r"\[a,b\]: --cells says already which"),
        (["--cells", ""], "--cells : some/table has no such cell"),
    ],
)
def test_what_would_not_be_heeded_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], says: str
) -> None:
    given = paper_table(tmp_path)
    monkeypatch.setattr(reproduce, "find_experiments", lambda: {"some/table": given.file})
    monkeypatch.setattr(reproduce, "load_experiment", lambda name: given)
    monkeypatch.setattr(reproduce, "run_sweep", lambda stated, overrides: pytest.fail("run"))
    with pytest.raises(InputError, match=says):
        reproduce.main(["some/table", *options])


def test_keys_that_differ_in_a_sign_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, ran = paper_table(tmp_path), []
    monkeypatch.setattr(reproduce, "find_experiments", lambda: {"some/table": given.file})
    monkeypatch.setattr(reproduce, "load_experiment", lambda name: given)
    monkeypatch.setattr(reproduce, "run_sweep", lambda stated, overrides: ran.append(stated.folder))
    for value in ("0.1", "-0.1", "[0.1]"):
        with pytest.raises(InputError, match=r"no result\.json below"):
            reproduce.main(["some/table", f"method.weight={value}"])
    assert len(set(ran)) == 3


def test_it_waits_for_what_a_killed_call_has_left_and_says_what_ends_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stated = paper_table(tmp_path)
    command = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    begin = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda given, **keys: begin(command, **keys))
    left = Thread(target=hold, args=(stated.folder, 1.0))
    left.start()
    while not (stated.folder / "held").exists():
        time.sleep(0.01)
    before = time.monotonic()
    with pytest.raises(InputError, match="SIGKILL ended it; the same command continues"):
        reproduce.run_sweep(stated, [])
    assert time.monotonic() - before > 0.5
    assert f"another process trains in {stated.folder}: waiting for it" in capsys.readouterr().err
    left.join()


def test_it_says_what_the_failed_jobs_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stated = paper_table(tmp_path)
    begin = subprocess.Popen
    command = [sys.executable, "-c", "print('2 of 3 jobs failed'); raise SystemExit(2)"]
    monkeypatch.setattr(subprocess, "Popen", lambda given, **keys: begin(command, **keys))
    for number, state in enumerate(("failed", "done", "failed")):
        ended: dict[str, Any] = {"state": state, "folder": "a", "began": 0.0, "seconds": 1.0}
        ended |= {"words": "surf.npz is not there", "tail": [], "code": 2}
        write_text(stated.folder / STATES / f"{number}.json", json.dumps(ended))
    with pytest.raises(InputError) as raised:
        reproduce.run_sweep(stated, [])
    first, *reasons = str(raised.value).splitlines()
    assert "failed: 2 of 3 jobs failed; see " in first
    assert reasons == ["  surf.npz is not there"]  # once


def hold(folder: Path, seconds: float) -> None:
    """As a sweep does."""
    with run_lock(folder):
        (folder / "held").touch()
        time.sleep(seconds)


def test_what_is_kept_as_ours_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "run_sweep", lambda stated, overrides: pytest.fail("run"))
    for options in (["--quick"], ["--seeds", "1"], ["--cells", "shot/usps-mnist"], ["steps=9"]):
        with pytest.raises(InputError, match="whole tables with their own keys"):
            reproduce.main(["shot_2020/digits", "--record", *options])


def test_what_comes_first_is_run_first_without_what_is_the_table_s_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, list[str]]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        reproduce, "run_sweep", lambda stated, overrides: ran.append((stated.name, overrides))
    )
    gathered = {
        "multirun/shot_2020-digits_source-steps_9": reproduced_record(
            "source_only", 0.9, pair="usps-mnist"
        ),
        "multirun/shot_2020-digits-steps_9": reproduced_record("shot", 0.97, pair="usps-mnist"),
    }
    monkeypatch.setattr(
        reproduce, "gather_records", lambda folders: [gathered[str(f)] for f in folders]
    )
    Path("multirun/shot_2020-digits-steps_9").mkdir(parents=True)
    reproduce.main(["shot_2020/digits", "seed=1", "steps=9", "method=shot"])
    first, second = gathered
    begun = f"init_from='{first}/${{dataset.pair[0]}}-${{dataset.pair[1]}}-${{seed}}'"
    assert ran == [
        ("shot_2020/digits_source", ["seed=1", "steps=9", f"hydra.sweep.dir={first}"]),
        (
            "shot_2020/digits",
            ["seed=1", "steps=9", "method=shot", f"hydra.sweep.dir={second}", begun],
        ),
    ]
    assert "| 97.00† | 97.00 | 97.00 | +7.00 | 1† | inside |" in capsys.readouterr().out


@pytest.mark.slow
def test_a_table_is_reproduced_and_continued(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell of a real one, by joblib; a second call runs nothing."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    cell = ("jda_2013/digits_baselines", "--cells", "pca/mnist-usps")
    ended = da("reproduce", *cell, "--jobs", "2")
    assert ended.code == 0, ended
    assert "| `pca` | mnist-usps | 66.22 |" in ended.out
    assert "1 of 1 cells within 0.0 points" in ended.out
    (file,) = da.folder.rglob("result.json")
    assert datetime.fromisoformat(json.loads(file.read_text())["finished"]).tzinfo == UTC
    written = file.stat().st_mtime_ns
    assert da("reproduce", *cell).code == 0
    assert file.stat().st_mtime_ns == written
    record_there = json.loads(file.read_text())
    record_there["target"]["last"]["accuracy"] = 0.5
    file.write_text(json.dumps(record_there))
    ended = da("reproduce", *cell)
    assert ended.code == 1
    assert "OUTSIDE" in ended.out


def test_what_cannot_be_reproduced_is_said(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    ended = da("reproduce", "jda_2013/objects")
    assert ended.code == 2
    assert (
        "the tables are adda_2017/digits, alexandari_2020/mnist, cdan_2018/digits, cmd_2017"
        in ended.err
    )
    ended = da("reproduce", "jda_2013/digits", "method=no_such")
    assert ended.code == 2
    assert "reproduce.log" in ended.err
    listed = da("reproduce", "--list").out
    assert re.search(
        r"jda_2013/office_caltech10 .* 48: nearest_neighbor, .* 1\.7 .*; torch 2\.15", listed
    )
    assert re.search(r"values .* CPU minutes .* recorded", listed)
