"""The HTML page: what is in it, and what a real browser makes of it."""

import base64
import io
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from scipy.stats import spearmanr

from da_framework.cli.report import main
from da_framework.core.rounding import format_fixed
from da_framework.results import page
from da_framework.results.record_schema import CurvePoint
from da_framework.results.report import make_report
from da_framework.results.statistics import half_interval
from da_framework.results.tables import gather_records, write_report
from tests.browser import Browser, browsing, until

EVIL = "<script>document.title = 'broken'</script><img src=x onerror=\"document.title='broken'\">"


def record(method: str, task: str, seed: int, accuracy: float) -> dict[str, Any]:
    readings = [
        {
            "step": 10 * n,
            "score": accuracy * n / 10,
            "oracle/accuracy": accuracy * (0.5 + n / 20),
            "source/accuracy": 0.9,
        }
        for n in range(11)
    ]
    picks = {"last": 0.0, "chosen": 0.01, "oracle": 0.02}
    return {
        "key": "k",
        "command": f"da train method='{method}' seed={seed} network=mlp",
        "choices": {"method": method, "validator": "entropy"},
        "config": {
            "seed": seed,
            "method": {"name": method, "weight": len(method)},
            "dataset": {"task": task},
            **{f"key_{n}": {"a": n, "b": f"value {n}"} for n in range(50)},
        },
        "baseline": method == "lower",
        "domains": {"source": [task], "target": ["t"]},
        "data": {"t": "0123"},
        "code": "4567",
        "environment": {"versions": {"torch": "2"}, "platform": "Linux", "device": "cpu"},
        "seconds": {"training": 2.0},
        "steps": 100,
        "verdicts": [{"step": 50, "kind": "features", "words": "features have collapsed"}]
        if (method, seed) == ("mmd", 1)
        else [],
        "target": {
            pick: {"step": 100, "score": accuracy, "accuracy": accuracy + more, "macro_f1": 0.5}
            for pick, more in picks.items()
        },
        "curve": readings,
    }


def runs(
    folder: Path, *, methods: tuple[str, ...] = ("lower", "mmd", EVIL), seeds: int = 3
) -> Path:
    for m, method in enumerate(methods):
        for task in ("a", "b"):
            for seed in range(1, seeds + 1):
                place = folder / f"{m}-{task}-{seed}"
                place.mkdir(parents=True)
                content = record(method, task, seed, 0.5 + m / 30 + seed * (m + 1) / 10000)
                (place / "result.json").write_text(json.dumps(content))
    return folder


def rendered(folder: Path) -> Path:
    report = make_report(gather_records([folder]), against=["lower"])
    write_report(folder / "report.html", report)
    return folder / "report.html"


def points(records: list[Any], task: str) -> list[tuple[float, float]]:
    """Score and accuracy of every evaluation of a trained model."""
    matching = [record for record in records if record["domains"]["source"] == [task]]
    readings = [row for record in matching for row in record["curve"] if row["step"]]
    return [(row["score"], row["oracle/accuracy"]) for row in readings]


def embedded(text: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert match
    held: dict[str, Any] = json.loads(match[1])
    return held


def test_the_page_holds_every_run_and_asks_for_nothing_else(tmp_path: Path) -> None:
    text = rendered(runs(tmp_path)).read_text()
    data = embedded(text)
    assert len(data["runs"]) == 18
    assert len(data["rows"]) == 6
    assert data["runs"][0]["command"] == "da train method='lower' seed=1 network=mlp"
    assert data["everywhere"] == ["All runs: validator=entropy, network=mlp"]
    assert data["runs"][0]["config"].keys() == {
        "seed",
        "method.name",
        "method.weight",
        "dataset.task",
    }
    assert not re.search(r"""(src|href)=["']?(https?:|//|[\w/]+\.(js|css))""", text)
    assert "default-src 'none'" in text


def test_a_name_ends_no_script(tmp_path: Path) -> None:
    text = rendered(runs(tmp_path)).read_text()
    assert EVIL in [row["method"] for row in embedded(text)["rows"]]
    assert "broken" in text
    assert "<script>document" not in text
    assert text.count("</script>") == 2


def test_long_curves_are_thinned_and_keep_their_end() -> None:
    points: list[CurvePoint] = [{"step": n, "score": n / 3} for n in range(500)]
    thinned = page.thin_curve(points)
    assert len(thinned["step"]) <= page.MOST_EVALUATIONS
    assert thinned["step"][-1] == 499
    assert thinned["score"][-1] == 166.33
    assert page.thin_curve(points[:7])["step"] == list(range(7))
    assert page.thin_curve([]) == {}
    assert page.thin_curve([{"step": 1, "score": float("nan")}])["score"] == [None]


def test_pictures_are_made_small_and_shared_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = runs(tmp_path)
    large = Image.linear_gradient("L").resize((1100, 530))
    for place in folder.iterdir():
        for name in page.FIGURE_SIZES:
            large.save(place / f"{name}.png")
    (folder / "0-a-1" / "tsne.png").write_bytes(b"half")
    monkeypatch.setattr(page, "MOST_FIGURES", 16)
    shown_runs = embedded(rendered(folder).read_text())["runs"]
    by = {(run["row"], run["seed"]): run for run in shown_runs}
    assert list(by[0, 1]["pictures"]) == ["confusion"]  # the other is damaged
    # a run of each of the six cells has both, then two runs more
    shown = {key for key, run in by.items() if run["pictures"]}
    assert shown == {*((row, 1) for row in range(6)), (0, 2), (1, 2)}
    assert by[5, 3]["unshown"] == "tsne.png and confusion.png"
    source = by[1, 1]["pictures"]["tsne"].partition("base64,")[2]
    with Image.open(io.BytesIO(base64.b64decode(source))) as image:
        assert image.width <= 760
        assert image.height <= 400


def make_page(folder: Path, *, seeds: int) -> tuple[Path, float]:
    """The page of twenty times as many runs, and the processor's seconds it took to make."""
    runs(folder, methods=tuple(f"m{n}" for n in range(10)), seeds=seeds)
    begun = time.process_time()
    main([str(folder), "--html", str(folder / "out.html")])
    return folder / "out.html", time.process_time() - begun


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """That of a thousand runs."""
    return make_page(tmp_path_factory.mktemp("thousand"), seeds=50)


@pytest.mark.slow
def test_a_thousand_runs_make_a_small_page_in_their_proportion(
    thousand: tuple[Path, float], tmp_path: Path
) -> None:
    path, seconds = thousand
    fifth = make_page(tmp_path, seeds=10)[1]
    assert seconds / fifth < 10  # 25 if it grew with the square
    assert path.stat().st_size < 3e6


@browsing
def test_a_browser_shows_it_all_and_complains_of_nothing(tmp_path: Path, browser: Browser) -> None:
    browser.open(rendered(runs(tmp_path)))
    assert browser.complaints() == []
    assert browser.js("document.title") == "da report"  # no name became a script
    assert browser.js("document.querySelectorAll('main script, main img').length") == 0
    assert len(browser.texts("#rows tbody tr")) == 6
    assert len(browser.texts("#runs tbody tr")) == 18
    assert EVIL in browser.texts("#map tbody th")
    assert browser.texts("#map tbody tr:first-child td") == ["50.0", "50.0", "50.0"]
    assert len(browser.texts("#curves figure")) == 2  # a panel a task
    assert len(browser.texts("#validator figure")) == 2
    rho = spearmanr(*zip(*points(gather_records([tmp_path]), "a"), strict=True)).statistic
    assert browser.texts("#validator figcaption")[0] == f"a → t, by entropy; ρ = {rho:.2f}"
    assert "Linux" in browser.texts("#machines tbody tr")[0]
    assert "da train method='lower' seed=1 network=mlp" in browser.texts("#detail pre")


@browsing
def test_tables_are_sorted_filtered_and_walked_by_keys(tmp_path: Path, browser: Browser) -> None:
    browser.open(rendered(runs(tmp_path)))
    last = "#runs thead th:nth-child(4)"
    column = "#runs tbody td:nth-child(4)"
    browser.click(f"{last} button")
    column_values = [float(text) for text in browser.texts(column)]
    assert column_values == sorted(column_values, reverse=True)
    browser.click(f"{last} button")
    assert [float(text) for text in browser.texts(column)] == sorted(column_values)
    assert browser.js(f"document.querySelector('{last}').ariaSort") == "ascending"
    browser.type("#filter", "mmd -b")
    until(lambda: browser.texts("#count") == ["3 of 18 runs"])
    assert len(browser.texts("#rows tbody tr")) == 1
    assert len(browser.texts("#curves figure")) == 1
    assert "features have collapsed" in " ".join(browser.texts("#detail .ill"))
    browser.click("#runs tbody tr")
    browser.type("#runs tbody tr", "\ue015")  # arrow down
    assert browser.js("document.activeElement.getAttribute('aria-selected')") == "true"
    assert browser.texts("#detail h3")[0].endswith("mmd · seed 2")
    browser.type("#filter", "no such run")
    until(lambda: browser.texts("#count") == ["0 of 18 runs"])
    assert "Nothing matches" in browser.texts("#rows")[0]
    browser.type("#filter", "\ue00c")  # escape
    until(lambda: browser.texts("#count") == ["18 runs"])
    assert browser.complaints() == []


@browsing
def test_two_runs_are_compared_by_what_differs(tmp_path: Path, browser: Browser) -> None:
    browser.open(rendered(runs(tmp_path)))
    assert browser.texts("#difference tbody tr") == ["seed12"]
    browser.js("(second.value = 6, second.onchange(), 1)")
    names = browser.texts("#difference tbody td:first-child")
    assert {"method.name", "method.weight"} <= set(names)
    browser.js("(second.value = first.value, second.onchange(), 1)")
    assert browser.texts("#difference") == ["Their configs are the same."]


@browsing
@pytest.mark.slow
def test_a_thousand_runs_are_drawn_in_time(thousand: tuple[Path, float], browser: Browser) -> None:
    browser.open(thousand[0])
    assert browser.texts("#count") == ["1000 runs"]
    ready = browser.js("performance.getEntriesByType('navigation')[0].domComplete")
    assert 0 < ready < 5000


@browsing
def test_the_browser_rounds_as_tables_do_and_draws_to_the_page_s_width(
    tmp_path: Path, browser: Browser
) -> None:
    browser.open(rendered(runs(tmp_path)))
    values = [74.25, 100 * 0.5745, 100 * 0.0645, -0.25, -0.04, 99.95, 0.05, 1e-9]
    shown = browser.js(f"{json.dumps(values)}.map((v) => fixed(v))")
    assert [text.replace("−", "-") for text in shown] == [format_fixed(v) for v in values]  # noqa: RUF001
    wide = "document.querySelector('#curves .panels').clientWidth"
    drawn = "[...document.querySelectorAll('#curves svg')].map((n) => n.clientWidth)"
    assert browser.js(f"{drawn}.reduce((a, b) => a + b)") > 0.9 * browser.js(wide)
    assert browser.js("document.querySelectorAll('#curves .tick').length") >= 12
    assert browser.js("document.querySelectorAll('#curves .band').length") == 6  # three seeds
    # half a point is no contrast: the scale goes from ten to ten, twenty points at least
    assert browser.js("scaleOf([74.2, 74.7])") == [60, 80]
    assert browser.js("scaleOf([99.5, 100])") == [80, 100]
    assert browser.js("halfOf([1, 2, 4])") == pytest.approx(half_interval([1.0, 2.0, 4.0]))
    assert browser.js("halfOf([1, 2])") is None
    # one tick is no scale
    assert browser.js("ticksOf([8, 86], 3).map((tick) => tick.v)") == [20, 40, 60, 80]
    assert browser.js("ticksOf([0, 200], 4).map((tick) => tick.v)") == [0, 50, 100, 150, 200]
    assert browser.complaints() == []


@browsing
def test_on_a_phone_nothing_is_cut_off_but_what_scrolls(tmp_path: Path, browser: Browser) -> None:
    """Every link is within the page's width, and of a map more than the methods' names is seen."""
    runs(tmp_path, methods=("lower", "mmd", f"a method of a long name, {'very ' * 20}long"))
    written = rendered(tmp_path)
    size = {"width": 420, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    emulate = "Emulation.{}DeviceMetricsOverride"
    browser.ask("goog/cdp/execute", cmd=emulate.format("set"), params=size)
    try:
        browser.open(written)
        assert browser.js("document.documentElement.scrollWidth") <= 420
        right = "Math.max(...[...document.querySelectorAll('nav a')].map((n) => "
        assert browser.js(f"{right}n.getBoundingClientRect().right))") <= 420
        assert browser.js("document.querySelector('#map td').getBoundingClientRect().right") <= 420
    finally:
        browser.ask("goog/cdp/execute", cmd=emulate.format("clear"), params={})


@browsing
def test_ranks_over_six_tasks_have_a_picture_of_the_critical_difference(
    tmp_path: Path, browser: Browser
) -> None:
    records: list[Any] = [
        record(f"m{m}", f"task {n}", 1, 0.3 + m / 10 + n / 100) for m in range(4) for n in range(6)
    ]
    write_report(tmp_path / "ranks.html", make_report(records))
    browser.open(tmp_path / "ranks.html")
    assert browser.texts("#ranking tbody td:first-child") == ["m3", "m2", "m1", "m0"]
    assert browser.texts("#distance text")[0] == "critical difference 1.91"
    assert browser.js("document.querySelectorAll('#distance .clique').length") == 3
    assert browser.complaints() == []
