"""What stands beside the code agrees with it: versions, citation, linters, ignored files."""

import ast
import importlib.util
import json
import logging
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
CHECKOUT = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="is no checkout of git")


def defaults(name: str) -> Any:
    """A config's own keys, without what it is composed of."""
    return OmegaConf.load(ROOT / "conf" / f"{name}.yaml")


def test_the_versions_agree() -> None:
    versions = re.findall(r"^## (\d\S*) - (\S+)$", CHANGELOG, flags=re.MULTILINE)
    assert PROJECT["version"] == CITATION["version"]
    assert versions[0] == (CITATION["version"], CITATION["date-released"])
    assert re.findall(r"^## (\S+)", CHANGELOG, flags=re.MULTILINE)[0] == "Unreleased"


def test_the_changelog_is_grouped() -> None:
    groups = set(re.findall(r"^### (.*)$", CHANGELOG, flags=re.MULTILINE))
    assert groups <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for section in re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:]:
        before_groups = section.partition("\n### ")[0]
        assert not re.search(r"^- ", before_groups, flags=re.MULTILINE), before_groups


def test_the_authors_are_those_of_the_licence() -> None:
    licence = (ROOT / "LICENSE").read_text()
    for author in [*PROJECT["authors"], *CITATION["authors"]]:
        assert re.search(rf"^Copyright \(c\) \d+ {author['name']}$", licence, flags=re.MULTILINE)
    assert PROJECT["license"] == CITATION["license"] == licence.split()[0]


def test_before_a_commit_the_linters_are_those_of_ci() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    ci = re.findall(r'^"\$python" (-m (?:ruff|mypy)\b.*)$', script, flags=re.MULTILINE)
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [f"python {command}" for command in ci] == [h["entry"] for h in repository["hooks"]]
    assert all(hook["language"] == "system" for hook in repository["hooks"])


def test_the_workflow_runs_what_everybody_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert workflow["permissions"] == {"contents": "read"}


@CHECKOUT
def test_git_ignores_what_commands_write_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DA_CACHE", raising=False)
    monkeypatch.delenv("DA_DATA", raising=False)
    train = defaults("train")
    assert 'dir: "runs/' in (ROOT / "conf" / "train.yaml").read_text()  # its resolver is ours
    written = {
        f"{train.hydra.job.name}.log",
        "runs/x/result.json",
        f"{train.hydra.sweep.dir}/x/result.json",
        f"{train.feature_cache}/x.npy",
        f"{defaults('data').data_dir}/x.zip",
        f"{defaults('data_check').out}/report.json",
        f"{defaults('data_check').out}-2/report.json",
        defaults("predict").out,
        defaults("predict").out.replace(".csv", ".shares.json"),
        f"{defaults('audit').out}/audit.json",
        "search/x/journal.log",  # conf/search.yaml: a name of its own below it
        "outputs/x",  # Hydra's
        "wandb/x",
        "mlflow.db",
        "mlruns/x",
        "build/x",
        "dist/x",
        "da_framework.egg-info/x",
        "da_framework/__pycache__/x",
        ".venv/x",
    }
    asked = ["git", "check-ignore", *sorted(written)]
    ignored = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert written - set(ignored.stdout.splitlines()) == set()


@CHECKOUT
def test_git_has_nothing_that_it_ignores() -> None:
    tracked = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    done = subprocess.run(tracked, cwd=ROOT, capture_output=True, text=True, check=True)
    assert not done.stdout


def test_every_lowest_version_was_tried() -> None:
    spec = importlib.util.spec_from_file_location("lowest", ROOT / "scripts" / "lowest_versions.py")
    assert spec
    assert spec.loader
    lowest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lowest)
    record = json.loads(lowest.RECORD.read_text())
    assert record["versions"] == lowest.lowest_versions(PROJECT), (
        "other lowest versions are declared than were tried: python scripts/lowest_versions.py"
    )
    assert record["failed"] == 0
    assert record["passed"] > 2000


def test_text_is_utf_8_wherever_it_is_read_or_written() -> None:
    # of a path whose type is not written beside it, ruff does not know that it is one
    bare = [
        f"{file.relative_to(ROOT)}:{call.lineno}"
        for folder in ("da_framework", "docs", "scripts")
        for file in (ROOT / folder).rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        if call.func.attr in ("read_text", "write_text")
        if not any(word.arg == "encoding" for word in call.keywords)
        if not any(isinstance(a, ast.Constant) and a.value == "utf-8" for a in call.args)
    ]
    assert bare == []


def test_a_command_runs_where_the_system_s_encoding_is_another(tmp_path: Path) -> None:
    words = ["dataset=two_moons", "network=mlp", "steps=2", "callback=[]", "logger=[]"]
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = subprocess.run(
        [sys.executable, "-m", "da_framework", "train", *words],
        cwd=tmp_path,
        env=os.environ | ascii_alone | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    assert list(tmp_path.glob("runs/*/result.json"))


def test_the_log_of_a_run_is_utf_8(da: Any) -> None:
    assert da.train("steps=2").code == 0
    handlers = logging.getLogger().handlers
    files = [handler for handler in handlers if isinstance(handler, logging.FileHandler)]
    assert [handler.encoding for handler in files] == ["utf-8"]
