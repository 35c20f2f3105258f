"""Names from data are data: a form of them for every place that would read more into a text.

Classes, domains, files, columns and folders may be called anything. Each function here serves one
place: the terminal, Markdown, a script within a page, a spreadsheet, a file's name, a figure.
"""

import codecs
import hashlib
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

LONGEST_FILE_NAME = 48
"""Characters of a safe file name, less its hash."""
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
"""What Windows takes for a device, whatever follows the dot."""
SPELLED = {
    **{"→": "->", "±": "+-", "†": "*", "χ²": "chi2", "²": "^2", "√": "sqrt", "…": "~"},
    **{"α": "alpha", "β": "beta", "γ": "gamma", "Δ": "Delta", "ε": "epsilon", "η": "eta"},
    **{"θ": "theta", "λ": "lambda", "μ": "mu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma"},
    **{"Σ": "Sigma", "τ": "tau", "Φ": "Phi", "χ": "chi"},
}
"""Signs of ours, for terminals that cannot show them. What stands for a cut is as wide as it."""
NUMBERS = frozenset((int, float, bool, type(None)))
"""Kinds of values that hold no text."""
FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""The beginning of a cell that a spreadsheet computes, whether neutralised already or not."""


def printable(text: object) -> str:
    r"""A text on one line, with what would move the cursor or the reading direction escaped.

    Line ends, terminal escapes, marks of direction, what has no width and bytes that are not UTF-8
    are written as Python writes them (``\n``, ``\x1b``, ``\u202e``, ``\udcff``). Nothing but blanks
    is put in quotes.
    """
    plain = str(text)
    if plain.isspace():
        return repr(plain)
    if plain.isprintable():
        return plain
    return "".join(
        character if character.isprintable() else _escape(character) for character in plain
    )


def printable_lines(text: object) -> str:
    """A text of several lines, each ``printable``; tabs are kept."""
    lines = str(text).split("\n")
    return "\n".join("\t".join(map(_printable_or_blank, line.split("\t"))) for line in lines)


def encodable(text: str, encoding: str | None) -> str:
    """A text that can be written in an encoding: signs are spelled out, all else is escaped.

    Args:
        text: any.
        encoding: of what is written to; none is UTF-8.
    """
    try:
        known = codecs.lookup(encoding or "utf-8").name
    except LookupError:
        known = "ascii"
    try:
        text.encode(known)
    except UnicodeEncodeError:
        for sign, word in SPELLED.items():
            text = text.replace(sign, word)
    return text.encode(known, "backslashreplace").decode(known)


def wrap_lines(text: str, width: int) -> str:
    """A text whose lines are broken between words where they are wider, and go on indented.

    Args:
        text: of one line or several.
        width: of a line, in characters. A word that is longer stays whole.
    """
    return "\n".join(
        "\n".join(wrap_line(line, width)) if len(line) > width else line
        for line in text.split("\n")
    )


def wrap_line(line: str, width: int, *, indent: int | None = None) -> list[str]:
    """The lines that a line is broken into between words.

    Args:
        line: a line.
        width: of each, in characters.
        indent: of those that follow the first; none is two more than that of the first.
    """
    if indent is None:
        indent = min(len(line) - len(line.lstrip(" ")), width // 2) + 2
    return textwrap.wrap(
        *(line, width),
        subsequent_indent=" " * indent,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def printable_tree(value: Any) -> Any:
    """A nested structure of which every text is ``printable``, keys too."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable_tree(key): printable_tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if NUMBERS.issuperset(map(type, value)):
            return [*value]
        return [printable_tree(item) for item in value]
    return value


def markdown(text: object) -> str:
    """A text within a line or a table cell of Markdown that renders as itself.

    Escapes no more than it must: tables are read on terminals as well. Underscores within words and
    brackets that begin no link stay as they are.
    """
    escaped = re.sub(r"[\\`*<|~$]|\](?=[(\[:])|&(?=#?\w+;)", r"\\\g<0>", printable(text))
    escaped = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped)
    # what is no link by brackets may be one by its look
    return re.sub(r"(?i)(?<=\w):(?=//)|(?<=\bwww)\.", r"\\\g<0>", escaped)


def markdown_code(text: object, *, in_table: bool = False) -> str:
    """A text as a code span of Markdown.

    Args:
        text: any.
        in_table: whether the span stands in a table, whose cells a bar would end.
    """
    plain = printable(text)
    fence = "`" * (_longest_ticks(plain) + 1)
    blank = " " if plain.startswith("`") or plain.endswith("`") or not plain else ""
    span = f"{fence}{blank}{plain}{blank}{fence}"
    return span.replace("|", r"\|") if in_table else span


def markdown_block(text: object, *, language: str = "") -> str:
    """A text of several lines as a fenced block of Markdown."""
    plain = printable_lines(text)
    fence = "`" * max(3, _longest_ticks(plain) + 1)
    return f"{fence}{language}\n{plain}\n{fence}"


def script_json(data: object) -> str:
    """JSON for a ``<script>`` of a page: no text in it ends the script or begins a comment."""
    text = json.dumps(data, separators=(",", ":"))
    return re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", text)


def csv_cell(value: object) -> str:
    """A cell of a CSV file, which no spreadsheet computes.

    A text that begins like a formula, with apostrophes before it or none, gets an apostrophe before
    it: ``csv_text`` gives every text back. Numbers, written as text or not, stay as they are.
    """
    text = str(value)
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) else text


def csv_text(cell: str) -> str:
    """What ``csv_cell`` was given."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def csv_row(cells: Iterable[object]) -> list[str]:
    """The cells of a row of a CSV file, for ``csv.writer``."""
    return [csv_cell(cell) for cell in cells]


def file_name(text: object) -> str:
    """The stem of a file for a name: itself where any system takes it, else with a hash behind it.

    Letters, digits, ``_``, ``-``, and blanks and dots within are kept; names that differ have stems
    that do.
    """
    plain = str(text)
    safe = re.sub(r"[^\w. -]+|^[. -]+|[. ]+$", "_", printable(plain))[:LONGEST_FILE_NAME]
    if safe == plain and plain and not RESERVED.match(plain):
        return plain
    digest = hashlib.sha256(plain.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{safe.replace('.', '_')}-{digest}"


def time_left(seconds: float) -> str:
    """How long something will still take, to be put behind a line; nothing if it is over.

    Args:
        seconds: as they are expected.
    """
    rounded = round(seconds)
    return f"; about {timedelta(seconds=rounded)} left" if rounded > 0 else ""


def figure_text(text: object, *, most: int = 40) -> str:
    """A text in a figure of matplotlib: no formula, never hidden from a legend.

    Args:
        text: any.
        most: characters, of which the last stands for the rest.
    """
    plain = printable(text)
    short = plain if len(plain) <= most else f"{plain[: most - 1]}…"
    # matplotlib leaves labels that begin with an underscore out of legends
    return f" {short}".replace("$", r"\$") if short.startswith("_") else short.replace("$", r"\$")


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def _printable_or_blank(text: str) -> str:
    return text if set(text) <= {" "} else printable(text)


def _longest_ticks(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def replace_marked(text: str, begin: str, end: str, content: str) -> str:
    """A document with what stands between two marks of it replaced, a blank line on either side."""
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{content}\n\n{end}{rest.partition(end)[2]}"
