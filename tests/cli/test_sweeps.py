"""A sweep: its jobs fail alone, it continues when repeated, and a person sees how it goes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from da_framework.cli import sweeps
from da_framework.cli.sweeps import (
    STATES,
    UNENDED,
    SweepMonitor,
    monitor_sweep,
    read_unended,
    run_job,
    train_apart,
)
from da_framework.config import plugins
from da_framework.config import run_names as names
from da_framework.core.errors import CrashedError, InputError, PreemptedError
from da_framework.core.files import run_lock
from da_framework.training import train
from tests.killed import Killed, die_at_steps

SMALL = ("dataset=two_moons", "network=mlp", "steps=20", "logger=[]", "callback=[]")
JOINT = ("train", "-m", "method=joint", "dataset.labels_per_class=2,9999,3")
"""Three jobs, of which the second fails."""


def sweep_results(folder: Path) -> dict[str, Any]:
    """What the runs of a sweep came to, by the folders' names."""
    return {
        file.parent.name: {
            name: value
            for name, value in json.loads(file.read_text()).items()
            # the choices name the launcher
            if name not in ("seconds", "finished", "peak_memory_mib", "choices")
        }
        for file in folder.rglob("result.json")
    }


def starts(text: str, word: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(word)]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[SweepMonitor]:
    jobs = [["steps=9", "method=dann", f"seed={seed}"] for seed in range(5)]
    item = SweepMonitor(tmp_path, jobs)
    item.console.file = StringIO()
    item.folder.mkdir()
    yield item
    sweeps.CURRENT.clear()


def tell(watch: SweepMonitor, number: int, state: str, **more: Any) -> None:
    folder = watch.folder.parent / str(number)
    told = {"state": state, "folder": str(folder), "began": time.time(), **more}
    (watch.folder / f"{number}.json").write_text(json.dumps(told))


# jobs


def test_each_job_has_one_line_and_the_failed_are_named_at_the_end(da: Any) -> None:
    ended = da(*JOINT, *da.small)
    assert ended.code == 2
    done, failed = starts(ended.err, "done: "), starts(ended.err, "failed: ")
    assert [line.partition(": ")[2].partition(":")[0] for line in done] == [
        "dataset.labels_per_class=2",
        "dataset.labels_per_class=3",
    ]
    assert done[1].endswith("; 0 waiting, 0 running, 2 done, 1 failed")
    assert len(failed) == 2
    assert failed[1].startswith("failed: da train method=joint dataset.labels_per_class=9999")
    assert starts(ended.err, "  dataset.labels_per_class=9999, but rotated has only 339 training")
    assert ended.err.endswith("1 of 3 jobs failed; the same command tries them again\n")
    # all else is in the logs
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 7
    logs = [file.read_text() for file in da.folder.glob("multirun/*/*/da.log")]
    assert sum("training samples: " in log for log in logs) == 2


def test_an_error_of_ours_fails_alone_and_its_traceback_is_in_the_log(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = train.summarize

    def broken(run: Any) -> Any:
        if run.module.seed == 1:
            raise RuntimeError("what nobody thought of")
        return outcome(run)

    monkeypatch.setattr(train, "summarize", broken)
    ended = da("train", "-m", *da.small, "seed=1,2", "hydra.sweeper.max_batch_size=1")
    assert ended.code == 1
    assert starts(ended.err, "  RuntimeError: what nobody thought of")
    assert len(sweep_results(da.folder)) == 1
    (log,) = (file for file in da.folder.rglob("da.log") if "Traceback" in file.read_text())
    assert "seed_1" in str(log)


@pytest.mark.slow
def test_a_sweep_killed_twice_and_repeated_ends_like_one_that_was_not(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (*JOINT, *da.small, "checkpoint_every=5")
    whole = da(*command, "hydra.sweep.dir=whole")
    # the job that was killed goes on in a process of its own, whose steps are not counted
    steps = die_at_steps(monkeypatch, 8, 20)
    for _ in range(2):
        with pytest.raises(Killed):
            da(*command, "hydra.sweep.dir=killed")
    last = da(*command, "hydra.sweep.dir=killed")
    assert steps.begun < 2 * 20 + 2 * 10  # none was run twice
    assert (last.code, whole.code) == (2, 2)
    assert len(sweep_results(da.folder / "whole")) == 2
    assert sweep_results(da.folder / "killed") == sweep_results(da.folder / "whole")
    assert starts(last.err, "failed: da ") == starts(whole.err, "failed: da ")


def test_a_sweep_that_another_process_runs_is_refused(da: Any) -> None:
    with run_lock(da.folder / "here"):
        ended = da("train", "-m", *da.small, "seed=1,2", "hydra.sweep.dir=here")
    assert ended.code == 2
    assert ended.err.startswith("another process works in here: wait for it, or ")
    assert "hydra.sweep.dir=" in ended.err
    assert not sweep_results(da.folder)


# what is shown


def test_the_table_has_what_failed_what_runs_and_what_is_done(watch: SweepMonitor) -> None:
    tell(watch, 0, "done", words="81.00%", seconds=100.0)
    tell(watch, 1, "failed", words="it broke", code=2, tail=["it broke"])
    tell(watch, 2, "running", began=time.time() - 30)
    watch.read()
    table = watch.table()
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["seed=1", "seed=2", "seed=0"]  # what all share is left out
    assert cells[1] == ["failed", "running", "done"]
    assert cells[2] == ["it broke", "since 0:00:30", "81.00%"]
    # of 100 s each: one has 70 to go, two wait for it
    assert table.title == "2 waiting, 1 running, 1 done, 1 failed; about 0:04:30 left"
    tell(watch, 3, "running", began=time.time() - 50)
    watch.read()
    assert watch.summary().endswith("; about 0:01:50 left")  # (70 + 50 + 100) / 2


def test_a_terminal_has_a_table_that_lives(watch: SweepMonitor) -> None:
    watch.console._force_terminal = True
    watch.start()
    tell(watch, 4, "done", words="81.00%", seconds=1.0)
    watch.close()
    shown = watch.console.file.getvalue()  # type: ignore[attr-defined]
    assert "seed=4" in shown
    assert "81.00%" in shown
    assert "done: seed=4" not in shown


@pytest.mark.parametrize(
    ("codes", "expected"), [([], 0), ([2], 2), ([3, 3], 3), ([2, 3], 1), ([1, 1], 1)]
)
def test_the_exit_code_is_that_of_all_failed_jobs_or_1(
    watch: SweepMonitor, codes: list[int], expected: int
) -> None:
    for number, code in enumerate(codes):
        tell(watch, number, "failed", words="", code=code, tail=[])
    watch.read()
    assert watch.verdict() == expected


def test_a_launcher_that_gives_up_is_one_line(
    watch: SweepMonitor, capsys: pytest.CaptureFixture[str]
) -> None:
    sweeps.CURRENT.append(watch)
    watch.start()
    tell(watch, 0, "failed", words="", code=2, tail=["the last line"])
    output = r"gave up: a worker was killed; .* the same command continues"
    with pytest.raises(InputError, match=output), monitor_sweep():
        raise RuntimeError("a worker\nwas killed")
    assert "  the last line" in capsys.readouterr().err
    assert not sweeps.CURRENT


def test_what_hydra_cannot_compose_is_explained_by_others(watch: SweepMonitor) -> None:
    sweeps.CURRENT.append(watch)
    watch.start()
    with pytest.raises(HydraException, match="Hydra's own"), monitor_sweep():
        raise HydraException("Hydra's own")
    assert not sweeps.CURRENT


# launchers


@pytest.mark.parametrize("word", plugins.NEEDS)
def test_a_launcher_that_is_not_installed_says_how_to_install_it(
    da: Any, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    def missing(package: str) -> None:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(plugins, "distribution", missing)
    ended = da("train", "-m", *da.small, "seed=1,2", word)
    package, extra = plugins.NEEDS[word]
    assert ended.code == 2
    assert ended.err == f"{word} needs {package}: pip install 'da_framework[{extra}]'\n"


@pytest.mark.parametrize(("launcher", "minutes"), [("local", 7 * 24 * 60), ("slurm", 24 * 60)])
def test_our_launchers_are_submitits_with_time_enough(launcher: str, minutes: int) -> None:
    names.register_resolvers()
    with initialize_config_dir(str(plugins.conf_dir()), version_base="1.3"):
        ours, stock = (
            compose("train", [f"hydra/launcher={name}"], return_hydra_config=True).hydra.launcher
            for name in (launcher, f"submitit_{launcher}")
        )
    assert ours.timeout_min == minutes
    changed = {key for key in stock if ours._get_node(key) != stock._get_node(key)}
    assert changed == {"timeout_min"} | ({"max_num_timeout"} if launcher == "slurm" else set())


@pytest.mark.parametrize(("asked", "started"), [(10**6, 3), (3, 3), (2, 2), (-1, -1)])
def test_joblib_starts_no_more_processes_than_there_are_jobs(
    da: Any, monkeypatch: pytest.MonkeyPatch, asked: int, started: int
) -> None:
    core = pytest.importorskip("hydra_plugins.hydra_joblib_launcher._core")
    given = []

    def parallel(**keys: Any) -> Any:
        given.append(keys["n_jobs"])
        raise RuntimeError("seen")

    monkeypatch.setattr(core, "Parallel", parallel)
    ended = da(*JOINT, *da.small, "hydra/launcher=joblib", f"hydra.launcher.n_jobs={asked}")
    assert given == [started]
    assert "the launcher gave up: seen" in ended.err


@pytest.mark.slow  # 30 s each
@pytest.mark.parametrize(
    "launcher",
    ["joblib hydra.launcher.n_jobs=2", "local hydra.sweeper.max_batch_size=2"],
    ids=["joblib", "submitit"],
)
def test_other_launchers_end_as_the_basic_one_does(da: Any, launcher: str) -> None:
    item, *keys = launcher.split()
    basic = da(*JOINT, *da.small, "hydra.sweep.dir=basic")
    ended = da(*JOINT, *da.small, "hydra.sweep.dir=other", f"hydra/launcher={item}", *keys)
    assert (ended.code, basic.code) == (2, 2)
    assert sweep_results(da.folder / "other") == sweep_results(da.folder / "basic")
    assert len(starts(ended.err, "done: ")) == 2
    ours = starts(ended.err, "failed: da train")
    assert ours == starts(basic.err, "failed: da train")
    assert starts(ended.err, "  dataset.labels_per_class=9999, but rotated")


@pytest.mark.slow  # a minute
def test_runs_of_which_some_fail_killed_twice_end_like_a_sweep_left_alone(
    tmp_path: Path,
) -> None:
    rows = ",".join(str(n) for n in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 9999))
    arguments = [
        *SMALL,
        *("method=joint", f"dataset.labels_per_class={rows}", "seed=1,2"),
        "checkpoint_every=5",
    ]

    def sweep(folder: str, *, until: int | None = None) -> tuple[int, str]:
        """Killed as soon as so many runs are there."""
        command = [sys.executable, "-m", "da_framework", "train", "-m", *arguments]
        process = subprocess.Popen(
            [*command, f"hydra.sweep.dir={folder}"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        while until is not None and len(list(tmp_path.glob(f"{folder}/*/result.json"))) < until:
            assert process.poll() is None
            time.sleep(0.02)
        if until is not None:
            process.send_signal(signal.SIGKILL)
        _, output = process.communicate()
        return process.returncode, output

    assert sweep("killed", until=6)[0] == -signal.SIGKILL
    assert sweep("killed", until=16)[0] == -signal.SIGKILL
    code, output = sweep("killed")
    whole = sweep("whole")
    assert (code, whole[0]) == (2, 2)
    assert len(sweep_results(tmp_path / "killed")) == 22
    assert sweep_results(tmp_path / "killed") == sweep_results(tmp_path / "whole")
    failed = starts(output, "failed: da train")
    assert len(failed) == 2
    assert all("dataset.labels_per_class=9999" in line for line in failed)
    assert failed == starts(whole[1], "failed: da train")
    assert output.endswith("2 of 24 jobs failed; the same command tries them again\n")
    assert (tmp_path / "killed" / STATES).is_dir()


# jobs that end without a word


def job(folder: Path, train: Callable[[], Any], number: int = 0) -> Any:
    """A job of the sweep in a folder."""
    place = folder / str(number)
    place.mkdir(exist_ok=True)
    return run_job(train, folder, number, place, overrides=["seed=1"])


def test_jobs_that_ended_without_a_word_are_known_until_they_have_a_result(
    watch: SweepMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = watch.folder.parent
    assert read_unended(sweep / "another") == []
    for number, state in enumerate(("done", "running", "failed", "stopped", "running")):
        tell(watch, number, state)
    (watch.folder / "7.json").write_text("{")
    unended = read_unended(sweep)
    assert unended == [str(sweep / "1"), str(sweep / "4")]
    shutil.rmtree(watch.folder)
    watch.folder.mkdir()
    (watch.folder / UNENDED).write_text(json.dumps(unended))
    assert read_unended(sweep) == unended  # a sweep that has not come so far forgets none
    apart: list[str] = []
    monkeypatch.setattr(sweeps, "train_apart", lambda folder, _: apart.append(folder.name))
    (sweep / "4").mkdir()
    (sweep / "4" / "result.json").write_text("")
    for number in range(5):
        job(sweep, lambda: None, number)
    assert apart == ["1"]


@pytest.mark.parametrize(
    ("code", "kind", "why"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", CrashedError, "SIGSEGV ended its process"),
        ("sys.exit('it broke')", CrashedError, "it broke"),
        ("print('SIGTERM ended', file=sys.stderr); sys.exit(75)", PreemptedError, "SIGTERM ended"),
        ("sys.exit(0)", None, ""),
    ],
)
def test_a_job_in_a_process_of_its_own_ends_as_that_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    kind: type[BaseException] | None,
    why: str,
) -> None:
    begin, commands = subprocess.Popen, []

    def stand_in(command: list[str], **keys: Any) -> Any:
        commands.append(command)
        return begin([sys.executable, "-c", f"import os, signal, sys; {code}"], **keys)

    monkeypatch.setattr("subprocess.Popen", stand_in)
    if kind is None:
        assert train_apart(tmp_path / "it's", ["seed=1"]) is None
    else:
        with pytest.raises(kind, match=why):
            train_apart(tmp_path / "it's", ["seed=1"])
    (command,) = commands
    assert command[1:5] == ["-m", "da_framework", "train", "seed=1"]
    assert command[5:] == [
        f"hydra.run.dir='{tmp_path}/it\\'s'",
        "hydra.mode=RUN",
        "hydra.output_subdir=null",
    ]


def test_a_job_that_leaves_python_fails_alone(watch: SweepMonitor) -> None:
    assert job(watch.folder.parent, lambda: sys.exit(7)) is None
    state = json.loads((watch.folder / "0.json").read_text())
    assert (state["state"], state["code"]) == ("failed", 1)


def test_jobs_elsewhere_end_where_the_sweep_is_asked_to(watch: SweepMonitor) -> None:
    def wait() -> None:
        watch.stop("SIGINT")
        time.sleep(60)

    sweep = watch.folder.parent
    assert job(sweep, wait) is None
    assert job(sweep, lambda: pytest.fail("begun all the same"), 1) is None
    watch.read()
    assert [state["state"] for state in watch.states.values()] == ["stopped"]
    with pytest.raises(PreemptedError) as stopped:
        watch.verdict()
    assert str(stopped.value) == (
        "Ctrl-C ended the sweep: 0 of 5 jobs are done; the same command continues"
    )
    assert stopped.value.code == 130


def test_a_job_that_was_stopped_alone_is_said(watch: SweepMonitor) -> None:
    tell(watch, 0, "stopped", words="SIGTERM ended training after step 3", code=75)
    tell(watch, 1, "done", words="81.00%", seconds=1.0)
    watch.read()
    assert watch.summary().startswith("3 waiting, 0 running, 1 done, 0 failed, 1 stopped; ")
    with pytest.raises(PreemptedError, match="after step 3; 1 of 5 jobs are done") as stopped:
        watch.verdict()
    assert stopped.value.code == 75


CRASH = """
import os, signal
def score(outputs):
    os.kill(os.getpid(), signal.SIGSEGV)
def well(outputs):
    return 0.0
"""


@pytest.mark.slow  # four processes
def test_a_sweep_goes_on_with_the_next_job_after_a_crash(da: Any) -> None:
    (da.folder / "crash.py").write_text(CRASH)
    targets = "validator._target_=crash.score,crash.well"
    ended = [
        subprocess.run(
            [sys.executable, "-m", "da_framework", "train", "-m", *SMALL, targets],
            env={**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:."},
            capture_output=True,
            text=True,
            check=False,
        )
        for _ in range(2)
    ]
    assert [own.returncode for own in ended] == [-signal.SIGSEGV, 1]
    assert (
        "  SIGSEGV ended its process, as something has before; the others go on" in ended[1].stderr
    )
    assert "1 of 2 jobs failed" in ended[1].stderr
    assert len(list(da.folder.glob("multirun/*/*/result.json"))) == 1
