"""What the documents show is true: it is generated, or it runs."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

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
        assert document.read_text() == render.render_document(document.read_text()), (
            f"{document.name} is not current: python scripts/render_docs.py"
        )
    assert render.STUB.read_text() == render.render_stub()


def test_the_table_of_gains_is_the_recorded_one() -> None:
    gains = loaded("method_gains", ROOT / "scripts" / "method_gains.py")
    actual = json.loads((gains.ROOT / "gains.recorded.json").read_text())
    assert gains.render_table(actual) in (gains.ROOT / "README.md").read_text()


def test_the_table_of_audits_is_the_recorded_one() -> None:
    audits = loaded("audit_labels", ROOT / "scripts" / "audit_labels.py")
    rows = json.loads((audits.ROOT / "labels.recorded.json").read_text())
    page = (audits.ROOT / "README.md").read_text()
    assert audits.render_table(rows) in page
    best = json.loads((audits.ROOT / "labels_best.recorded.json").read_text())
    assert audits.render_best(best) in page


def test_the_table_of_streams_is_the_recorded_one() -> None:
    gains = loaded("stream_gains", ROOT / "scripts" / "stream_gains.py")
    recorded = json.loads((gains.ROOT / "streams.recorded.json").read_text())
    assert gains.render(recorded) in (gains.ROOT / "README.md").read_text()


def test_the_leaderboard_is_of_what_is_recorded() -> None:
    board = loaded("leaderboard", ROOT / "scripts" / "leaderboard.py")
    assert board.render(board.read_runs()) in board.README.read_text("utf-8")
    assert board.PICTURE.is_file()


def test_the_leaderboard_counts_gains_costs_and_ranks() -> None:
    board = loaded("leaderboard", ROOT / "scripts" / "leaderboard.py")

    def run(last: float, chosen: float, seconds: float) -> Any:
        picks = {"last": {"accuracy": last}, "chosen": {"accuracy": chosen}}
        return {"target": picks, "seconds": {"cpu": seconds}}

    runs = {
        "source_only": {"a": [run(0.5, 0.5, 1), run(0.7, 0.7, 3)], "b": [run(0.8, 0.8, 1)]},
        "mine": {"a": [run(0.7, 0.6, 4), run(0.9, 0.6, 4)], "b": [run(0.7, 0.9, 4)]},
    }
    assert board.gains(runs, "last")["mine"] == pytest.approx([20, -10])
    assert board.gains(runs, "chosen")["mine"] == pytest.approx([0, 10])
    assert board.costs(runs) == {"source_only": 1, "mine": 3}  # of 2 and of 4
    text = board.render(runs)
    assert "| `source_only` | 1.5 | 1.8 | +0.0 | +0.0 | +0.0 | 1.0 |" in text
    assert "| `mine` | 1.5 | 1.3 | +5.0 | +5.0 | -10.0 | 3.0 |" in text


def test_the_two_commands_at_the_top_are_those_of_ci() -> None:
    install, test = blocks(README, "bash")[:2]
    assert install.startswith("python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/da")
    assert test.rstrip().endswith("pytest")
    assert "README.md | grep 'pytest'" in (ROOT / ".ci" / "run").read_text()
    assert (
        len(re.findall(r"^.*pytest.*$", "".join(blocks(README, "bash")), flags=re.MULTILINE)) == 1
    )


@pytest.mark.filterwarnings("ignore")  # Lightning's advice
def test_the_example_in_python_runs() -> None:
    example = next(block for block in blocks(README, "python") if "da_framework.fit" in block)
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    space: dict[str, Any] = {"__name__": "readme"}
    exec(compile(example.replace("steps=200", "steps=30"), "README.md", "exec"), space)
    assert space["run"].module.step == 30
    assert set(space["run"].predict(space["x_target"])) <= {False, True}


def test_every_option_and_file_the_documents_name_is_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README + CONTRIBUTING):
        assert (ROOT / link).exists(), link


def test_the_project_speaks_of_itself_alone() -> None:
    private = re.compile(r"/(wor[k]|far[m]|roo[t])/|subagen[t]|\.librar[y]")
    rooms = ("da_framework", "conf", "docs", "tests", "scripts", "experiments", ".ci")
    files = [path for room in rooms for path in (ROOT / room).rglob("*")] + list(ROOT.glob("*.*"))
    for path in set(files) - {ROOT / ".git"}:  # a worktree's names the folder it belongs to
        if path.suffix in ("", ".py", ".md", ".yaml", ".toml", ".json") and path.is_file():
            assert not private.search(path.read_text()), path
