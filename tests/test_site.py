"""The site as a browser shows it: nothing is broken, too wide, or fetched from elsewhere."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from da_framework.config.catalog import list_group
from da_framework.config.definitions import class_constants
from da_framework.config.key_help import own_target
from da_framework.config.plugins import conf_dir
from da_framework.results.overview import count_all, list_overviews
from tests.browser import Browser, browsing, until

ROOT = Path(__file__).parents[1]
WIDTHS = (390, 1280)
FETCHED = re.compile(
    r"""<(?:link|script|img|iframe|source)\b[^>]*?\b(?:src|href)=["']?(https?:)?//"""
)
"""What a page would fetch of another server; links are followed by readers alone."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs the extra docs"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a dead link or an unknown name is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    command += ["--config-file", "docs/mkdocs.yml", "--site-dir", str(folder)]
    surroundings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=surroundings
    )
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture(scope="module")
def narrow(browser: Browser) -> Iterator[Browser]:
    yield browser
    browser.ask("goog/cdp/execute", cmd="Emulation.clearDeviceMetricsOverride", params={})


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 100
    for page in pages:
        text = re.sub(r'<link rel="?canonical[^>]*>', "", page.read_text())
        assert not FETCHED.search(text), page
    for style in site.rglob("*.css"):
        assert not re.search(r"@import|url\(['\"]?https?:", style.read_text()), style


def test_the_page_of_a_method_begins_with_its_own_description(site: Path) -> None:
    for name, summary, _ in list_group("method"):
        page = unescape((site / "methods" / f"{name}.html").read_text())
        assert summary in re.sub(r"<[^>]+>", "", page), name


def test_the_page_of_a_method_says_what_to_look_out_for(site: Path) -> None:
    for name, _, _ in list_group("method"):
        page = (site / "methods" / f"{name}.html").read_text()
        target = own_target(conf_dir() / "method" / f"{name}.yaml") or ""
        baseline = class_constants(target)["baseline"]
        assert ('id="pitfalls"' in page) is not baseline, name
    harmed = re.findall(
        r"worse than what does not adapt on .*", (site / "methods/cdan_e.html").read_text()
    )
    assert len(harmed) == 1
    assert "two moons (-" in harmed[0]
    assert "USPS" not in harmed[0]


def test_the_page_of_a_method_has_its_means_in_recorded_experiments(site: Path) -> None:
    def means(page: str, experiment: str) -> list[str]:
        row = re.search(
            rf'href="[^"]*experiments/{experiment}/index.html">.*?</tr>', page, re.DOTALL
        )
        return re.findall(r"<td>([\d.]*)</td>", row[0]) if row else []

    def mean(experiment: str, method: str) -> str:
        file = ROOT / "experiments" / f"{experiment}.recorded.json"
        runs = [r for r in json.loads(file.read_text()) if r["choices"]["method"] == method]
        accuracies = [run["target"]["last"]["accuracy"] for run in runs]
        return f"{100 * sum(accuracies) / len(accuracies):.1f}"

    table = "domainbed_2021/rotated_mnist"
    irm, alone = mean(table, "irm"), mean(table, "source_only")
    page = (site / "methods" / "irm.html").read_text()
    assert means(page, "domainbed_2021") == ["6", "6", irm, alone]
    page = (site / "methods" / "artl.html").read_text()
    # none of them has what does not adapt
    assert means(page, "meda_2018") == ["2", "2", mean("meda_2018/digits", "artl"), ""]
    assert "recorded-experiments" not in (site / "methods" / "structural_noise.html").read_text()


def test_the_page_of_results_counts_tables(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "results.html").read_text())
    tables = list_overviews()
    assert count_all(tables) in unescape(text)
    for table in tables:
        assert f"{table.name}" in text


def test_no_page_shows_the_marks_of_another_markup(site: Path) -> None:
    for page in sorted(site.rglob("*.html")):
        assert not re.search(r":(math|class|func|ref|meth):", page.read_text()), page


def set_width(browser: Browser, width: int) -> None:
    """Of the page that is shown, in pixels."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.ask("goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=metrics)


@browsing
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_that_are_opened_as_files_can_be_searched(
    site: Path, narrow: Browser, width: int
) -> None:
    set_width(narrow, width)
    narrow.open(site / "guides" / "audit.html")
    if width < 960:
        narrow.click("label[for=__search].md-header__button")
    shown = "document.querySelector('.md-search__input').getBoundingClientRect().width > 100"
    until(lambda: narrow.js(shown))
    narrow.type(".md-search__input", "gradient reversal")
    until(lambda: "mdan" in narrow.texts(".md-search-result__article h1"))


@browsing
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_and_its_pictures_and_formulas_are_whole(
    site: Path, narrow: Browser, width: int
) -> None:
    set_width(narrow, width)
    wrong = []
    for page in sorted(site.rglob("*.html")):
        narrow.open(page)
        narrow.js("[...document.images].forEach((n) => n.loading = 'eager')")
        found = narrow.js(
            "({inner: innerWidth, wide: document.documentElement.scrollWidth,"
            " broken: document.querySelectorAll('merror').length,"
            " missing: [...document.images].filter((n) => n.complete && !n.naturalWidth).length})"
        )
        assert found["inner"] == width
        if found["wide"] > width or found["broken"] or found["missing"]:
            wrong.append((str(page.relative_to(site)), found))
    assert wrong == []
    narrow.js("document.body.insertAdjacentHTML('beforeend', '<p style=\"width:3000px\">x</p>')")
    assert narrow.js("document.documentElement.scrollWidth") > width  # it would be seen
