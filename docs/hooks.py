"""What the site is made of besides its pages: pages generated from the code, and formulas."""

import inspect
import json
import posixpath
import re
from functools import cache
from html import unescape
from pathlib import Path
from statistics import mean
from typing import Any
from xml.etree import ElementTree

import latex2mathml.converter
from formulas import to_markdown
from gallery_pages import example_names, gallery_index, gallery_page
from mkdocs.structure.files import File, Files
from pitfalls import pitfalls
from recorded import page_title, recorded_table

import da_framework
from da_framework.config.catalog import list_group, source_docstring
from da_framework.config.definitions import class_constants
from da_framework.config.key_help import Keys, option_keys
from da_framework.config.method_settings import SETTINGS, method_settings
from da_framework.config.plugins import conf_dir, read_target
from da_framework.results.overview import count_all, list_overviews, overview_lines

ROOT = Path(__file__).resolve().parents[1]
FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\\(?P<open>[(\[])(?P<formula>.*?)\\[)\]]</\1>', re.DOTALL
)
OVERLINES = ("\u00af", "\u2015")
CELL = re.compile(r"<td[^>]*>.*?</td>", re.DOTALL)
LONG_CODE = re.compile(r"(?<=<code>)[^<]{18,}(?=</code>)")
LINK = re.compile(r"(?<=\]\()(?!https?://|#|mailto:)([^)\s]+)(?=\))")


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages."""
    pages = {
        "methods/index.md": method_index(),
        **{f"methods/{name}.md": method_page(name) for name, _, _ in list_group("method")},
        "gallery/index.md": gallery_index(),
        **{f"gallery/{name}.md": gallery_page(name) for name in example_names()},
        "api.md": api_page(),
        "results.md": results_page(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text("utf-8"),
        **experiment_pages(),
    }
    for place, content in pages.items():
        files.append(File.generated(config, place, content=content))
    for picture in sorted((ROOT / "experiments").rglob("*.png")):
        place = picture.relative_to(ROOT).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(picture)))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Draws formulas by MathML, which browsers know without a script, and lets cells break."""
    return CELL.sub(lambda cell: LONG_CODE.sub(breakable, cell[0]), FORMULA.sub(as_mathml, html))


def breakable(code: re.Match[str]) -> str:
    """A long name that may be broken after a sign: its column would take the others' room."""
    return re.sub(r"([/:.=,_]+)(?!$)", r"\1<wbr>", code[0])


def as_mathml(formula: re.Match[str]) -> str:
    """A formula in MathML; its parts, which a wide gap divides, stand below one another on a phone.

    Raises:
        ValueError: it cannot be read.
    """
    text = unescape(formula["formula"]).strip()
    if formula["open"] != "[":
        return draw_formula(text, "inline")
    parts = [part.strip() for part in text.split(r"\qquad")]
    if r"\begin" in text or any(part.count("{") != part.count("}") for part in parts):
        parts = [text]
    drawn = "".join(draw_formula(part, "block") for part in parts)
    return f'<div class="formula">{drawn}</div>'


def draw_formula(text: str, display: str) -> str:
    """A formula without a gap in it.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        math = latex2mathml.converter.convert_to_element(text, display=display)
    except Exception as error:
        raise ValueError(f"the formula {text!r} cannot be read: {error}") from error
    for part in math.iter():
        part.text = unescape(part.text) if part.text else None
    for over in math.iter("mover"):
        accent = over[1]
        if accent.text in OVERLINES:  # which only fonts made for formulas stretch
            over.tag, over.attrib = "mrow", {"class": "overline"}
            over.remove(accent)
    return ElementTree.tostring(math, encoding="unicode")


def method_index() -> str:
    """All methods by what there is at hand, a line each, with what they gain on our data."""
    parts = [
        "# Methods",
        "What do you have? `da list method setting=source-free` prints one of these tables, and "
        "`da train method=NAME` trains. Gains are in points of accuracy over `source_only` on the "
        "same seeds, with a 95 % interval, on two moons and on MNIST → USPS; how they were "
        "measured, and what they do not say, stands in "
        "[what each method gains](../experiments/method_gains/index.md).",
    ]
    methods = {name: summary for name, summary, _ in list_group("method")}
    fits = {name: method_settings(name) for name in methods}
    for setting, meaning in SETTINGS.items():
        rows = [
            f"| [`{name}`]({name}.md) | {summary} | {gain(name, 'two_moons')} "
            f"| {gain(name, 'digits')} |"
            for name, summary in methods.items()
            if setting in fits[name]
        ]
        head = ["| `method=` | what it does | two moons | digits |", "|---|---|---|---|"]
        table = ['<div class="methods" markdown>', "", *head, *rows, "", "</div>"]
        parts += [f"## {setting}", f"{meaning.capitalize()}.", "\n".join(table)]
    return "\n\n".join(parts) + "\n"


def method_target(name: str) -> str:
    """The class that ``method=NAME`` builds."""
    return read_target((conf_dir() / "method" / f"{name}.yaml").read_text("utf-8")) or ""


@cache
def read_gains() -> dict[str, Any]:
    """What was recorded of methods on our data."""
    file = ROOT / "experiments" / "method_gains" / "gains.recorded.json"
    gains: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return gains


def gain(name: str, task: str) -> str:
    """What a method gains on a task, with its interval; nothing where it was not measured."""
    measured = read_gains().get(name, {}).get(task)
    if not measured:
        return ""
    return f"{measured['gain']:+.1f}&nbsp;±&nbsp;{measured['half_interval']:.1f}"


def method_page(name: str) -> str:
    """A method: what it is, its formula and paper, its keys, what it gained, its pitfalls."""
    target = method_target(name)
    _, _, rest = source_docstring(target).partition("\n")
    summary = next(summary for known, summary, _ in list_group("method") if known == name)
    text = inspect.cleandoc(rest).partition("\nArgs:\n")[0]
    settings = [SETTINGS[setting] for setting in method_settings(name)]
    parts = [
        f"# `{name}`",
        summary,
        f"```bash\nda train method={name}\n```" if is_complete(target) else "",
        f"For: {'; '.join(settings)}.",
        to_markdown(text),
        "## Keys",
        keys_table(option_keys("method", name)),
        f"Code: `{target}`. Keys that every method has: see `method:` in `da train --help`.",
        gains_table(name),
        recorded_table(name),
        pitfalls(class_constants(target), read_gains().get(name, {})),
    ]
    return "\n\n".join(part for part in parts if part.strip()) + "\n"


def is_complete(target: str) -> bool:
    """Whether a method trains without anything else to be typed."""
    needs = class_constants(target)
    others = {"target_labelled", *(("source",) if needs.get("needs_init_from") else ())}
    wanted = any(
        needs.get(flag) for flag in ("needs_init_from", "needs_teachers", "compares_sources")
    )
    return not (wanted or needs.get("closed_form") or others & {*needs.get("roles", ())})


def gains_table(name: str) -> str:
    """What a method gained on our data and what it cost, beside what does not adapt."""
    known = read_gains()
    if name not in known:
        return ""
    setting = known[name]["setting"]
    against = next(row for row in known if row.endswith(f", {setting}"))
    rows = [
        f"| {title} | {mean(known[against][task]['figures']):.1f} "
        f"| {mean(known[name][task]['figures']):.1f} | {gain(name, task)} "
        f"| {known[name][task]['seconds'] / known[against][task]['seconds']:.1f} |"
        for task, title in (("two_moons", "two moons"), ("digits", "MNIST → USPS"))
        if known[name].get(task)
    ]
    return "\n".join(
        [
            "## On our data",
            "",
            f"In the setting *{setting}*; five seeds; "
            "[how it was measured](../experiments/method_gains/index.md).",
            "",
            "| task | without adapting, % | with, % | gain | times its time |",
            "|---|---|---|---|---|",
            *rows,
        ]
    )


def keys_table(keys: Keys) -> str:
    """The keys of a config with defaults and meanings, as Markdown."""
    rows = [
        f"| `{name}` | `{key.value}` | {key.meaning.replace('|', chr(92) + '|')} |"
        for name, key in keys.items()
    ]
    if not rows:
        return "It has none of its own."
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])


def api_page() -> str:
    """The public names of the package with their documentation."""
    modules = da_framework.public_modules()
    blocks = [f"::: da_framework.{module}.{name}\n" for name, module in sorted(modules.items())]
    head = ["# API", "Every name comes from the package itself: `from da_framework import DANN`."]
    return "\n\n".join([*head, *blocks])


def experiment_pages() -> dict[str, str]:
    """The READMEs of the recorded experiments, with links that hold on the site."""
    documents = sorted((ROOT / "experiments").glob("*/README.md"))
    return {
        document.relative_to(ROOT).with_name("index.md").as_posix(): relinked(document)
        for document in documents
    }


def relinked(document: Path) -> str:
    """A document whose links lead to pages, or are names where the site has no page of them."""

    def link(match: re.Match[str]) -> str:
        place, hash_sign, anchor = match[1].partition("#")
        aim = (document.parent / place).resolve()
        if aim.suffix == ".png" and aim.is_relative_to(ROOT / "experiments"):
            return match[1]
        if aim.name == "README.md" and aim.is_relative_to(ROOT / "experiments"):
            page = posixpath.relpath(aim.with_name("index.md"), document.parent)
            return f"{page}{hash_sign}{anchor}"
        return ""

    text = LINK.sub(link, document.read_text("utf-8"))
    return re.sub(r"(?<!!)\[([^\]]+)\]\(\)", r"\1", text)


def results_page() -> str:
    """What is recorded of papers' tables, counted, and all recorded experiments, a line each."""
    pages = {
        document.parent.name: f"experiments/{document.parent.name}/index.md"
        for document in sorted((ROOT / "experiments").glob("*/README.md"))
    }
    tables = list_overviews()
    return "\n".join(
        [
            "# Results",
            "",
            "What was run, by which command, and what came of it.",
            "",
            "## Tables of papers",
            "",
            "Each is made again by `da reproduce TABLE`. *Exact* is equal to the paper's value in "
            "every digit that it prints, by one setting for a whole row; *inside* and *outside* "
            "are verdicts within bounds that were stated, with their reason, before the runs: of "
            "a value, or of the mean of a row. What falls outside stays, and its page says what "
            "is known of why.",
            "",
            count_all(tables),
            "",
            *overview_lines(tables, pages),
            "",
            "## All experiments",
            "",
            *(
                f"- [{page_title(ROOT / 'experiments' / name)}]({page})"
                for name, page in pages.items()
            ),
            "",
        ]
    )
