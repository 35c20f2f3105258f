"""What there is to choose from, read from files without importing any."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from da_framework.config.plugins import conf_dir, config_roots, read_target
from da_framework.config.source_code import source_file

GROUPS = (
    "method",
    "term",
    "stream_method",
    "dataset",
    "network",
    "validator",
    "accuracy_estimator",
    "calibration",
    "label_shift_correction",
    "optimizer",
    "scheduler",
    "trainer",
    "logger",
    "callback",
    "hydra/launcher",
    "experiments",
)


def list_group(group: str) -> Iterator[tuple[str, str, str]]:
    """Name, one-line summary and origin of every config of a group."""
    return ((name, summarize_config(file), origin) for name, file, origin in option_files(group))


def option_names(group: str) -> list[str]:
    """The names that a group can be set to, ours first."""
    return [name for name, _, _ in option_files(group)]


def option_files(group: str) -> Iterator[tuple[str, Path, str]]:
    """Name, file and origin of every config of a group, ours first."""
    for origin, root in config_roots():
        folder = root / group
        for file in sorted(folder.rglob("*.yaml")):
            yield file.relative_to(folder).with_suffix("").as_posix(), file, origin


def summarize_config(file: Path) -> str:
    """The config's own comment, or the first line of what it builds says of itself."""
    text = file.read_text("utf-8")
    first = next((line for line in text.splitlines() if line and not line.startswith("# @")), "")
    if first.startswith("#"):
        return first.lstrip("# ")
    return first_docstring_line(built) if (built := read_target(text)) else ""


def first_docstring_line(target: str) -> str:
    """First line of what ``package.module.Name`` says of itself."""
    try:
        return source_docstring(target).partition("\n")[0]
    except ImportError as error:
        return f"cannot be found: {error}"


def source_docstring(target: str) -> str:
    """The docstring of ``package.module.Name``, found in its source without importing it.

    Raises:
        ImportError: there is no such module.
    """
    module, _, name = target.rpartition(".")
    file = source_file(module)
    if file is None:
        raise ImportError(f"no module {module}")
    text = file.read_text("utf-8")
    begun = re.search(rf"^(?:class|def) {re.escape(name)}\b", text, flags=re.MULTILINE)
    if begun is None:
        return ""
    # as far as the next definition: parsing whole files would take most of the time
    header, _, rest = text[begun.start() :].partition('"""')
    if re.search(r"\n(?:    def|class|def) ", header):
        return ""
    return inspect.cleandoc(rest.partition('"""')[0])


def render_methods() -> str:
    """Our methods with their papers, as Markdown."""
    lines = ["| `method=` | what it does | paper |", "|---|---|---|"]
    for file in sorted((conf_dir() / "method").glob("*.yaml")):
        doc = source_docstring(read_target(file.read_text("utf-8")) or "")
        links = re.findall(r"https://\S+", doc)
        years = re.findall(r"\b(?:19|20)\d\d\b", doc)
        paper = f"[{years[0]}]({links[0]})" if links and years else ""
        lines.append(f"| `{file.stem}` | {doc.partition(chr(10))[0]} | {paper} |")
    return "\n".join(lines)
