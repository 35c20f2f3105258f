"""Runs the fast tests with the lowest versions that pyproject.toml declares, and records them.

    python scripts/lowest_versions.py                   # about a quarter of an hour on two cores
    python scripts/lowest_versions.py tests/losses      # some of the tests: nothing is recorded
    python scripts/lowest_versions.py --folder ~/low    # keeps the environment, and uses it again

Every ``>=`` of the dependencies and of the extras that the tests use becomes ``==``, in a virtual
environment of its own; pytest and its plugins are as new as they come. What needs a library that
is not there (skada wants a newer scikit-learn) is skipped, and its reason is recorded. What
``tests/lowest_versions.json`` says is held against pyproject.toml by a test: floors that have not
been tried are not declared.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "tests" / "lowest_versions.json"

TOOLS = ("beartype", "hypothesis", "pytest", "pytest-xdist")
"""Of the extra ``dev``: what the tests are run with."""

OF_THEIR_TIME = ("protobuf<6",)
"""What the declared ones are built on and too new for them: onnx 1.17 fails with protobuf 7."""

QUIET = ("DeprecationWarning", "FutureWarning", "PendingDeprecationWarning")
"""What old libraries say of the newer ones below them, for which no floor is declared."""


def read_project() -> Mapping[str, Any]:
    """The table ``project`` of pyproject.toml."""
    project: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
        "project"
    ]
    return project


def declared_requirements(project: Mapping[str, Any]) -> list[Requirement]:
    """The dependencies, and those of the extras that the extra ``dev`` names."""
    extras = project["optional-dependencies"]
    development = [Requirement(line) for line in extras["dev"]]
    tested = next(
        requirement.extras for requirement in development if requirement.name == project["name"]
    )
    lines = [*project["dependencies"], *(line for name in sorted(tested) for line in extras[name])]
    return [Requirement(line) for line in lines]


def lowest_versions(project: Mapping[str, Any]) -> dict[str, str]:
    """The lowest version of each requirement.

    Raises:
        ValueError: a requirement does not declare one.
    """
    lowest = {}
    for requirement in declared_requirements(project):
        floors = [bound.version for bound in requirement.specifier if bound.operator == ">="]
        if len(floors) != 1:
            raise ValueError(f"pyproject.toml: {requirement} declares no lowest version")
        lowest[requirement.name] = floors[0]
    return dict(sorted(lowest.items(), key=lambda item: item[0].lower()))


def tool_requirements(project: Mapping[str, Any]) -> list[str]:
    """What the tests are run with, as new as it comes."""
    lines = project["optional-dependencies"]["dev"]
    return [line for line in lines if Requirement(line).name in TOOLS]


def make_environment(folder: Path, project: Mapping[str, Any]) -> Path:
    """Installs the lowest versions, the tools and this package; returns the interpreter."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pins = [f"{name}=={version}" for name, version in lowest_versions(project).items()]
    subprocess.run([*install, *pins, *OF_THEIR_TIME, *tool_requirements(project)], check=True)
    subprocess.run([*install, "--no-deps", "--editable", str(ROOT)], check=True)
    return python


def run_tests(python: Path, report: Path, tests: Sequence[str], *, jobs: int) -> None:
    """Runs the fast tests; the report is JUnit's."""
    quiet = [word for name in QUIET for word in ("-W", f"ignore::{name}")]
    own = "--deselect=tests/test_repository.py::test_every_lowest_version_was_tried"  # reads RECORD
    wanted = [*quiet, own, f"--junitxml={report}", *tests]
    command = [str(python), "-m", "pytest", "-n", str(jobs), *wanted]
    settings = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    subprocess.run(command, cwd=ROOT, env=os.environ | settings, check=False)


def read_report(report: Path) -> dict[str, Any]:
    """How many tests passed, failed and were skipped, with the reasons."""
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            counts["failed"] += 1
        elif skipped is not None:
            counts["skipped"] += 1
            reasons[skipped.get("message", "")] += 1
        else:
            counts["passed"] += 1
    outcome = {name: counts[name] for name in ("passed", "failed", "skipped")}
    return outcome | {"reasons": dict(sorted(reasons.items()))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the environment, runs the tests, and records the outcome of a whole run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tests", nargs="*", help="some of the tests; without any, all fast ones")
    parser.add_argument("--folder", type=Path, help="of the environment, which is kept")
    parser.add_argument("--jobs", type=int, default=2, help="processes of the tests")
    options = parser.parse_args(arguments)
    project = read_project()
    with TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary) / "environment").expanduser().resolve()
        python = make_environment(folder, project)
        report = Path(temporary) / "report.xml"
        run_tests(python, report, options.tests, jobs=options.jobs)
        outcome = read_report(report)
    record = {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **outcome,
        "versions": lowest_versions(project),
    }
    text = json.dumps(record, indent=1) + "\n"
    print(text, end="")
    if not options.tests:
        RECORD.write_text(text, "utf-8")
    return 1 if record["failed"] or not record["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
