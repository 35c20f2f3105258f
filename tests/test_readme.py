"""What the documents show is true: it is generated, or it runs."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def loaded(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_current() -> None:
    render = loaded("render_docs", ROOT / "scripts" / "render_docs.py")
    for document in render.documents():
        assert document.read_text() == render.rendered(document.read_text()), (
            f"{document.name} is not current: python scripts/render_docs.py"
        )


def test_the_two_commands_at_the_top_are_those_of_ci() -> None:
    install, test = blocks(README, "bash")[:2]
    assert install.startswith("python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/da")
    assert test.rstrip().endswith("pytest")
    assert "README.md | grep 'pytest'" in (ROOT / ".ci" / "run").read_text()
    assert (
        len(re.findall(r"^.*pytest.*$", "".join(blocks(README, "bash")), flags=re.MULTILINE)) == 1
    )


def test_the_notebook_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example = next(block for block in blocks(README, "python") if "pl.Trainer" in block)
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    short = example.replace("steps=200", "steps=30")
    with pytest.warns() as _:
        exec(compile(short, "README.md", "exec"), {"__name__": "readme"})
    assert 0 <= float(capsys.readouterr().out.split()[-1]) <= 1


def test_every_option_and_file_the_documents_name_is_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README + CONTRIBUTING):
        assert (ROOT / link).exists(), link


def test_the_method_of_contributing_works_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, test = blocks(CONTRIBUTING, "python")
    config = blocks(CONTRIBUTING, "yaml")[0]
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "shown"
    (package / "conf" / "method").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "conf" / "__init__.py").touch()
    (package / "mean_distance.py").write_text(method)
    mine = config.replace("da_framework.methods.mean_distance", "shown.mean_distance")
    (package / "conf" / "method" / "mean_distance.yaml").write_text(mine)
    monkeypatch.setattr("da_framework.plugins.sources", lambda: {"shown": "pkg://shown.conf"})
    (tmp_path / "shown_test.py").write_text(test)
    shown = loaded("shown_test", tmp_path / "shown_test.py")
    for weight in (0.0, 0.5):
        shown.test_the_term_is_the_squared_distance_of_the_means(weight)
    from da_framework import check
    from da_framework.build import compose

    found = list(check.findings(compose("method=mean_distance", name="check")))
    assert not [finding for finding in found if finding.kept is False]
    sys.modules.pop("shown_test", None)


def test_the_project_speaks_of_itself_alone() -> None:
    private = re.compile(r"/(wor[k]|far[m]|roo[t])/|subagen[t]|\.librar[y]")
    rooms = ("da_framework", "conf", "tests", "scripts", "experiments", ".ci")
    files = [path for room in rooms for path in (ROOT / room).rglob("*")] + list(ROOT.glob("*.*"))
    for path in files:
        if path.suffix in ("", ".py", ".md", ".yaml", ".toml", ".json") and path.is_file():
            assert not private.search(path.read_text()), path
