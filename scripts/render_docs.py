"""Fills the generated parts of README.md and of the experiments' READMEs.

A part stands between ``<!-- name -->`` and ``<!-- /name -->``; a test holds all of them current.
"""

import re
import sys
from pathlib import Path

from da_framework.listing import methods_table
from da_framework.report import gather, markdown

ROOT = Path(__file__).resolve().parents[1]
PAIR = ROOT / "experiments" / "digits_pair"
BASELINES = {"alignment": ["source_only", "control"], "few_labels": ["source_only", "target_only"]}


def parts() -> dict[str, str]:
    """Every generated part by name."""
    dann = (ROOT / "da_framework" / "methods" / "dann.py").read_text()
    tables = {
        name: markdown(gather([PAIR / f"{name}.recorded.json"]), against=against)
        for name, against in BASELINES.items()
    }
    return {"methods": methods_table(), "dann": f"```python\n{dann}```", **tables}


def rendered(text: str) -> str:
    """A document with its generated parts renewed."""
    for name, content in parts().items():
        pattern = rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)"
        text = re.sub(pattern, lambda m, c=content: f"{m[1]}\n{c}\n{m[2]}", text, flags=re.DOTALL)  # type: ignore[misc]
    return text


def documents() -> list[Path]:
    """The documents with generated parts."""
    return [ROOT / "README.md", *sorted((ROOT / "experiments").glob("*/README.md"))]


if __name__ == "__main__":
    for document in documents():
        document.write_text(rendered(document.read_text()))
        print(document.relative_to(ROOT), file=sys.stderr)
