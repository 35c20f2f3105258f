"""Runs the examples of the gallery and keeps the pictures that they make.

::

    python scripts/render_gallery.py              # all of them: about ten minutes on two cores
    python scripts/render_gallery.py digits text  # some

An example whose data are not there says so and keeps the picture that it has.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))

from gallery_pages import (
    EXAMPLES,
    LIMITS,
    PICTURES,
    RENDERED,
    SKIPPED,
    Rendered,
    code_hash,
    example_names,
    read_rendered,
)

from da_framework.core.files import atomic_write, write_text

SURROUNDINGS = {
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "1",  # sums over threads round otherwise
    "PYTHONWARNINGS": "ignore",
}
"""What makes the pictures the same on every machine of a kind."""


def render(name: str) -> Rendered | None:
    """Runs an example in an empty folder and keeps its picture.

    Returns:
        What it printed and the hash of its code; nothing if its data are not there.
    """
    script = EXAMPLES / f"{name}.py"
    paths = [str(EXAMPLES.parents[1]), os.environ.get("PYTHONPATH", "")]
    surroundings = {**os.environ, **SURROUNDINGS, "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(
            [sys.executable, str(script)],
            cwd=folder,
            env=surroundings,
            capture_output=True,
            text=True,
            check=False,
        )
        said = (ended.stderr.splitlines() or [""])[-1]
        if ended.returncode and said.startswith(SKIPPED):
            print(f"{name}: {said}", file=sys.stderr)
            return None
        if ended.returncode:
            raise SystemExit(f"{name} failed:\n{ended.stderr}")
        kept = keep_picture(name, Path(folder))
    print(f"{name}: {kept.name}, {kept.stat().st_size / 1024:.0f} KB", file=sys.stderr)
    return {"code": code_hash(name), "picture": kept.name, "printed": ended.stdout}


def keep_picture(name: str, folder: Path) -> Path:
    """Copies the picture of an example beside the pages.

    Raises:
        SystemExit: there is none, or it is too large to be kept.
    """
    made = [folder / f"{name}{ending}" for ending in LIMITS]
    picture = next((path for path in made if path.is_file()), None)
    if picture is None:
        raise SystemExit(f"{name} made none of {', '.join(path.name for path in made)}")
    content, limit = picture.read_bytes(), LIMITS[picture.suffix]
    if len(content) > limit:
        raise SystemExit(f"{picture.name} has {len(content)} bytes, of at most {limit}")
    place: Path = PICTURES / picture.name
    with atomic_write(place) as partial:
        partial.write_bytes(content)
    return place


def main(names: list[str]) -> None:
    """Renders the named examples, or all."""
    if unknown := {*names} - {*example_names()}:
        raise SystemExit(
            f"no example: {', '.join(unknown)}; there are {', '.join(example_names())}"
        )
    for name in names or example_names():
        if made := render(name):
            rendered: Mapping[str, Rendered] = {**read_rendered(), name: made}
            text = json.dumps(rendered, indent=1, sort_keys=True, ensure_ascii=False)
            write_text(RENDERED, f"{text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
