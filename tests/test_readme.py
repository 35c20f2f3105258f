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
    runs, page = board.read_runs(), board.README.read_text("utf-8")
    assert board.render(runs) in page
    assert board.render_rates(board.of_finished_tasks(board.read_rates(runs))) in page
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


def test_the_leaderboard_chooses_learning_rates_by_the_validator_alone() -> None:
    board = loaded("leaderboard", ROOT / "scripts" / "leaderboard.py")

    def run(rate: float, seed: int, score: float | None, accuracy: float) -> Any:
        picks = {"last": {"accuracy": accuracy}}
        return {
            "choices": {"method": "mine", "experiments": "leaderboard/emoji_rates"},
            "config": {"seed": seed, "optimizer": {"lr": rate}},
            "domains": {"source": ["a"], "target": ["b"]},
            "target": picks if score is None else {**picks, "chosen": {"score": score}},
        }

    default = [run(1, 1, 2.0, 0.5), run(1, 2, 9.0, 0.5), run(1, 3, 9.0, 0.5)]
    higher, lower = [run(3, 1, 2.5, 0.4)], [run(0.3, 1, None, 0.9)]
    rates = {
        board.BASELINE: {"emoji: a → b": {1: default, 3: [run(3, 1, 2.0, 0.9)]}},
        "mine": {"emoji: a → b": {1: default, 3: higher, 0.3: lower}},
    }
    chosen = board.choose_rates(rates)
    # of equals the default; never by accuracy, by the other seeds, or without a score
    assert chosen == {board.BASELINE: {"emoji: a → b": 1}, "mine": {"emoji: a → b": 3}}
    assert board.runs_at(rates, chosen)["mine"] == {"emoji: a → b": higher}
    assert board.unfinished(rates) == [
        "da train experiments=leaderboard/emoji_rates method=mine 'dataset.pair=[a,b]' "
        "optimizer.lr=3 seed=2,3"
    ]
    assert board.of_finished_tasks(rates)["mine"] == {}
    higher += [run(3, 2, 0.0, 0.3), run(3, 3, 0.0, 0.2)]
    assert board.unfinished(rates) == []
    assert board.of_finished_tasks(rates) == rates
    words = board.describe_choice(rates)
    assert "Of 2 choices 1 kept the default, 1 took the higher rate and 0 the lower one." in words
    assert "by -10.0 points in the mean: it gained a point or more in 0 and lost" in words
    # seed 1: (0 - 10) / 2, and (40 + 40) / 2 of the best
    assert "it is -5.0, and the best of the three by target labels" in words
    assert "may use, +40.0." in words


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
