"""The pages of the gallery: of each example what it says of itself, its picture and its code."""

import ast
import hashlib
import json
from pathlib import Path
from typing import TypedDict

EXAMPLES = Path(__file__).with_name("gallery")
PICTURES = Path(__file__).with_name("pages") / "gallery"
RENDERED = EXAMPLES / "rendered.json"
LIMITS = {".png": 150_000, ".gif": 400_000}
"""Endings of pictures, and how many bytes one may have."""
SKIPPED = "skipped: "
"""What an example's last word begins with where its data are not there."""


class Rendered(TypedDict):
    """What came of an example: the hash of its code, its picture, and what it printed."""

    code: str
    picture: str
    printed: str


def example_names() -> list[str]:
    """The examples, in the order of their names."""
    return sorted(path.stem for path in EXAMPLES.glob("*.py"))


def read_code(name: str) -> str:
    """An example as it is run."""
    return (EXAMPLES / f"{name}.py").read_text("utf-8")


def code_hash(name: str) -> str:
    """By which a picture is known to be of this code; what the example says of itself apart."""
    return hashlib.sha256(split_example(name)[2].encode()).hexdigest()[:16]


def read_rendered() -> dict[str, Rendered]:
    """What came of the examples when they were rendered."""
    rendered: dict[str, Rendered] = json.loads(RENDERED.read_text("utf-8"))
    return rendered


def split_example(name: str) -> tuple[str, str, str]:
    """Of an example: its title, what it says of itself, and its code without these."""
    code = read_code(name)
    begin = ast.parse(code).body[0]
    title, _, text = (ast.get_docstring(ast.parse(code)) or "").partition("\n")
    rest = "\n".join(code.splitlines()[begin.end_lineno :])
    return title.rstrip("."), text.strip(), rest.strip()


def gallery_index() -> str:
    """All examples by their pictures."""
    cards = []
    for name in example_names():
        title, _, _ = split_example(name)
        picture = read_rendered()[name]["picture"]
        cards.append(f"[![]({picture}){{ loading=lazy }}<br>{title}]({name}.md)")
    return "\n\n".join(
        [
            "# Gallery",
            "Short programs to begin from: each runs as it stands, from the top to the bottom, and "
            "makes the picture beside it. The figures are of one seed; what a method gains over "
            "several, and with which interval, stands on the page of the [method]"
            "(../methods/index.md).",
            '<div class="gallery" markdown>',
            *cards,
            "</div>",
        ]
    )


def gallery_page(name: str) -> str:
    """An example: what it says of itself, its picture, what it prints, and its code."""
    title, text, code = split_example(name)
    rendered = read_rendered()[name]
    parts = [
        f"# {title}",
        text,
        f"![{title}]({rendered['picture']})",
        "It prints:",
        f"```text\n{rendered['printed'].rstrip()}\n```",
        f"The whole program, `docs/gallery/{name}.py`; all pictures are made by "
        "`python scripts/render_gallery.py`:",
        f"```python\n{code}\n```",
    ]
    return "\n\n".join(parts) + "\n"
