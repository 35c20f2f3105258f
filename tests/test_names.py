"""Data whose names are of every odd kind goes through every command that shows or writes them."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from da_framework.core.terminal import open_console
from da_framework.core.text import csv_text, markdown, printable
from da_framework.results.model_card import BEGIN, END
from da_framework.results.verified import write_verified
from tests.conftest import Commands, Ended
from tests.odd_names import ESCAPES
from tests.run_records import write_run

# bytes that are not UTF-8 come with files; what is blank is no label
CLASSES = [name for name in ESCAPES.values() if name.strip() and name != ESCAPES["bytes"]]
DOMAINS = ("=[/b]x\n| a |", "../`<b>\x1b[2J`$x")
COLUMNS = ("=cmd()", "[red]\n$y$")
FINISHED = Path(__file__).parent / "training" / "run_of_0_1"
PACKAGE = Path(__file__).parents[1] / "da_framework"


def quoted(name: str) -> str:
    """A name as Hydra takes it for text."""
    return '"' + name.replace("\\", r"\\").replace('"', r"\"") + '"'


SOURCE, TARGET = map(quoted, DOMAINS)
TABLE = ("dataset=table", "dataset.root=odd.jsonl", "dataset.label=class")
ROLES = (f"dataset.source=[{SOURCE}]", f"dataset.target=[{TARGET}]")


def write_table() -> None:
    draws = np.random.default_rng(0)
    rows = [
        {"domain": domain, "class": name}
        | {
            column: float(value)
            for column, value in zip(COLUMNS, draws.normal(size=2), strict=True)
        }
        for domain in DOMAINS
        for name in CLASSES
        for _ in range(8)
    ]
    Path("odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def odd(da: Commands) -> Commands:
    """A run of such a table, with its figures."""
    keys = ("callback=[confusion,curves,tsne]", "steps=2", *TABLE, *ROLES)
    da.train_once("odd", *keys, data=write_table)
    return da


def shown(ended: Ended) -> str:
    """What is printed, which must be printable."""
    assert ended.code == 0, ended
    text = ended.out + ended.err
    assert text.replace("\n", "").replace("\t", "").isprintable()
    return text


def tokens(text: str) -> list[Any]:
    parsed = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    return [leaf for token in parsed for leaf in (token, *(token.children or []))]


def cells(file: str) -> list[list[str]]:
    with Path(file).open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def assert_harmless(rows: list[list[str]]) -> None:
    """No cell of a table is computed by a spreadsheet; numbers are no formulas."""
    texts = [cell for row in rows for cell in row if not re.fullmatch(r"[-+]?[\d.e+-]+", cell)]
    assert not [cell for cell in texts if cell[:1] in tuple("=+-@\t\r\n")]


def test_a_run_says_its_domains_and_draws_its_figures(odd: Commands) -> None:
    text = shown(odd.train("steps=2", "callback=[confusion,curves,tsne]", *TABLE, *ROLES))
    assert printable(DOMAINS[0]) in text
    assert {"confusion.png", "curves.png", "tsne.png"} <= {p.name for p in Path("run").iterdir()}
    assert_harmless(cells("run/metrics.csv"))


def test_a_card_renders_its_names_as_themselves(odd: Commands) -> None:
    parsed = tokens(Path("run/MODEL.md").read_text(encoding="utf-8"))
    shown = [token for token in parsed if token.type.startswith(("html", "image"))]
    assert [token.content.strip() for token in shown] == [BEGIN, END]  # where an audit's part is
    links = [token.attrs["href"] for token in parsed if token.type == "link_open"]
    assert len(links) == 1  # the paper
    assert "arxiv.org" in str(links[0])
    headings = [n for n, token in enumerate(parsed) if token.type == "heading_open"]
    assert [parsed[n + 1].content for n in headings] == [
        *("dann on table", "Accuracy on the target", "Limits", "Command")
    ]
    text = "".join(token.content for token in parsed if token.type.startswith("text"))
    assert all(printable(name) in text for name in CLASSES)


def test_reports_and_pages_hold_them(odd: Commands) -> None:
    text = shown(odd("report", "run", *("--out", "o.csv", "--out", "o.md", "--out", "o.html")))
    assert markdown(DOMAINS[0]) in text
    rows = [token for token in tokens(Path("o.md").read_text()) if token.type == "tr_open"]
    assert len(rows) == 2
    assert_harmless(cells("o.csv"))
    assert any(DOMAINS[0] in csv_text(cell) for row in cells("o.csv") for cell in row)
    page = Path("o.html").read_text()
    data = page.partition('id="data">')[2].partition("</script>")[0]
    assert printable(DOMAINS[1]) in json.dumps(json.loads(data), ensure_ascii=False).replace(
        r"\\", "\\"
    )
    assert "<b>" not in page


def test_other_commands_show_them(odd: Commands) -> None:
    shown(odd("doctor", "run"))
    shown(odd("evaluate", "run=run", "trust=[odd.jsonl]"))


def test_a_verdict_with_one_tears_no_table(da: Commands) -> None:
    folder = write_run(da.folder / "a", json.loads((FINISHED / "result.json").read_text()))
    for name in ESCAPES.values():
        pair = {"beside": f"x{name}", "outcome": name, "gain": [0.1, 0.2]}
        facts = {"samples": 3, "labels": 2, "alpha": 0.05, "pick": "last", "pairs": [pair]}
        write_verified(folder, {**facts, "accuracy": None})
        da("report", "a", "--out", "o.md", "--out", "o.csv")
        parsed = tokens(Path("o.md").read_text(encoding="utf-8"))
        assert len([token for token in parsed if token.type == "td_open"]) == 7, name
        kinds = {token.type for token in parsed}
        assert not kinds & {"html_inline", "html_block", "link_open", "image", "em_open"}, name
        assert_harmless(cells("o.csv"))


@pytest.mark.slow
def test_an_audit_asks_and_a_shift_is_said_with_them(odd: Commands) -> None:
    odd.copy("run", "[b]x")
    asked = ("audit", "run=[run,'[b]x']", "trust=[odd.jsonl]", "accuracy=true", "ask=9")
    assert "9 questions wait" in shown(odd(*asked))
    head, *rows = cells("audit/questions.csv")
    for row, name in zip(rows, CLASSES, strict=False):
        row[2] = csv_text(printable(name))
    with Path("audit/questions.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])
    assert "accuracy of" in shown(odd(*asked))
    assert_harmless(cells("audit/questions.csv"))
    for page in ("audit", "label"):
        text = Path(f"audit/{page}.html").read_text()
        assert not [name for name in (*CLASSES, *DOMAINS) if "<" in name and name in text]
    text = shown(odd("shift", *TABLE, *ROLES, "draws=5", "permutations=39", "out=shift.json"))
    assert printable(DOMAINS[1]) in " ".join(text.split())
    found = json.loads(Path("shift.json").read_text())
    assert (found["source"], found["target"]) == ([DOMAINS[0]], [DOMAINS[1]])


def test_predictions_give_them_back(odd: Commands) -> None:
    shown(odd("predict", "run=run", "dataset.root=odd.jsonl", "probabilities=true"))
    head, *rows = cells("predictions.csv")
    assert_harmless([head, *rows])
    place = head.index("class")
    # what is no UTF-8 stands there as Python writes it
    names = {name.encode("utf-8", "backslashreplace").decode() for name in CLASSES}
    assert {csv_text(row[place]) for row in rows} <= names
    heads = {csv_text(name).removeprefix("probability of ") for name in head}
    assert names <= heads


def test_a_check_of_the_data_lists_them(odd: Commands) -> None:
    text = shown(odd("data", "check", *TABLE, *ROLES))
    assert printable(DOMAINS[0]) in text
    report = json.loads(Path("data_check/report.json").read_text())
    assert set(report["domains"]) == set(DOMAINS)


def test_folders_and_files_of_any_name_are_read(da: Commands) -> None:
    names = ["[red]x", "a$b$", "=1+1", "na\x1b[31mme", "caf\udce9", "a\nb", "...x", "-rf"]
    for domain in ("=[b] a", "two\n\x1b[2J"):
        for label, name in enumerate(names):
            folder = da.folder / "photos" / domain / name
            try:
                folder.mkdir(parents=True)
            except OSError:
                pytest.skip("this file system does not take such names")
            for number in range(3):
                pixels = np.full((8, 8, 3), 20 * label + number, np.uint8)
                Image.fromarray(pixels).save(folder / f"=\r{number}{name}.png")
    source, target = quoted("=[b] a"), quoted("two\n\x1b[2J")
    data = ("dataset=folder", "dataset.root=photos", "dataset.size=8", "dataset.val=0.4")
    roles = (f"dataset.source=[{source}]", f"dataset.target=[{target}]")
    shown(da("data", "check", *data, *roles))
    sheets = list((da.folder / "data_check").glob("*.png"))
    assert len(sheets) == 2
    shown(da.train(*data, *roles, "network=convnet", "steps=1", "callback=[confusion]"))
    shown(da("predict", "run=run", "dataset.root=photos"))
    rows = cells("predictions.csv")[1:]
    assert_harmless(rows)
    seen = [name for name in names if name[0] != "."]  # what is hidden is not read
    assert len(rows) == 2 * 3 * len(seen)
    paths = (str(path) for path in Path("photos").rglob("*.png") if "/." not in str(path))
    files = {path.encode("utf-8", "backslashreplace").decode() for path in paths}
    assert {f"photos/{csv_text(row[0])}" for row in rows} == files


def test_a_console_takes_text_for_text(capsys: pytest.CaptureFixture[str]) -> None:
    console = open_console(width=200)
    for name in ESCAPES.values():
        console.print(printable(name), soft_wrap=True)
        assert capsys.readouterr().out == printable(name) + "\n"
    console.print("a\x1b[2J\r")
    assert capsys.readouterr().out == "a\\x1b[2J\\r\n"


def test_nobody_opens_another_console() -> None:
    texts = {path: path.read_text() for path in PACKAGE.rglob("*.py")}
    others = [path.name for path, text in texts.items() if re.search(r"\bConsole\(", text)]
    assert not others
    columns = [line for text in texts.values() for line in re.findall(r"TextColumn\(.*", text)]
    assert columns
    assert all("task." not in line or "markup=False" in line or "rate" in line for line in columns)
