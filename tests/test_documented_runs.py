"""What the guides show is typed, in their order, from a folder with what they take for given."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from da_framework.cli.main import split_command
from tests.conftest import Commands
from tests.test_documented_commands import REFUSED, ROOT, first_value, shown_commands

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

DATA = os.environ.get("DA_DATA")
PAGES = {
    page.relative_to(ROOT).as_posix(): page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs" / "pages").rglob("*.md"))]
    if [*shown_commands(page)]
}
ELSEWHERE = {
    "hydra/launcher=slurm": "a cluster",
    "trainer.devices=2": "several processes: tests/training/test_processes.py",
    "trainer.devices=4": "several processes: tests/training/test_processes.py",
    "compile=true": "a compiler: tests/training/test_module.py",
    "network.pretrained=true": "the network",
    "sync": "a server: tests/cli/test_sync.py",
    "--cells": "a table of a paper: its page is what the command has made",
    "--jobs": "a table of a paper: its page is what the command has made",
    "jda_2013/office_caltech10": "a table of a paper: its page is what the command has made",
    "dann_2016/amazon": "a table of a paper: its page is what the command has made",
    "dann_2016/digits": "a table of a paper: its page is what the command has made",
    "method=halves": "files that tests/test_plugin_guide.py writes and runs",
    "term=[spread]": "files that tests/test_plugin_guide.py writes and runs",
    **dict.fromkeys(REFUSED, "is refused: tests/test_documented_commands.py"),
}
"""Words of commands that are not run here, and why or where they are."""
PARTS = "dataset=folder dataset.root=parts dataset.size=16 network=lenet"
MEANT = {
    "runs/...": ["runs/mine"],
    "run=runs/...": ["run=runs/mine"],
    "init_from=runs/...": ["init_from=runs/mine"],
    "run=multirun/SWEEP/RUN": ["run=runs/dann"],
    "dataset.root=new_images": ["dataset.root=photos/phone"],
    "dataset.source=[a,b,c]": ["dataset.source=[a,b,c]", *PARTS.split()],
    "dataset.source=[a,b]": ["dataset.source=[a,b]", *PARTS.split()],
    "+dataset.target=[usps,mnistm]": ["+dataset.target=[usps]"],
    "trials=20": ["trials=2", "steps=2", "evaluate_every=2"],
}
"""What stands for words that only show how something is written."""
SHORT = ("steps=2", "evaluate_every=2")
RANDOM = np.random.default_rng(0)


def pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = RANDOM.integers(0, 256, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{folder.name}{number}.png")


def own_data() -> None:
    """Photos, tables and arrays of one's own, the target without labels or with."""
    for name in ("cup", "pen"):
        pictures(Path("photos/studio") / name, 20)
        for part in "abcd":
            pictures(Path("parts") / part / name, 12)
    pictures(Path("photos/phone"), 30)
    rows = pd.DataFrame(RANDOM.normal(size=(90, 3)), columns=["age", "pulse", "height"])
    rows.to_csv("new.csv", index=False)
    rows["label"] = np.arange(90) % 2
    rows["domain"] = np.where(np.arange(90) < 50, "north", "south")
    rows.to_csv("patients.csv", index=False)
    Path("data").mkdir()
    for name in ("lab", "field"):
        x = RANDOM.normal(size=(60, 4)).astype(np.float32)
        np.savez(f"data/{name}.npz", x=x, y=np.arange(60) % 2)


def trained(da: Commands) -> None:
    """Runs and sweeps that a page takes for given."""
    own_data()
    photos = "dataset=folder dataset.root=photos dataset.source=studio dataset.target=phone"
    photos += " network=convnet dataset.size=16"
    table = "dataset=table dataset.root=patients.csv dataset.source=north dataset.target=south"
    for name, words in {
        "mine": "method=source_only",
        "a": "method=source_only",
        "b": "method=dann",
        "source_only": f"method=source_only {photos}",
        "dann": f"method=dann {photos}",
        "table": f"method=source_only {table} network=mlp",
    }.items():
        run(da, ["train", *words.split(), f"hydra.run.dir=runs/{name}"])
    notes = "callback=[validators,accuracy_estimators]"
    run(da, ["train", "-m", "method=source_only", notes])
    run(da, ["train", "-m", "method=dann", "method.weight=0.5,1.0", notes])
    several = "method=source_only validator=source_accuracy dataset.source=[a,b,c]"
    apart = f"{several} dataset.target=[d] {PARTS}".split()
    run(da, ["train", "-m", *apart, "dataset.left_out=null,a,b,c"])
    Path("multirun").rename("sweeps")


def run(da: Commands, words: list[str]) -> None:
    """Types a command, what it trains cut short."""
    name, rest = split_command(words)
    if name == "train" and "--help" not in rest:
        rest = [*rest, *SHORT]
        rest += [] if any("callback" in word for word in rest) else ["callback=[]"]
        rest += [] if any("logger" in word for word in rest) else ["logger=[]"]
    ended = da(*name.split(), *rest)
    assert ended.code == 0, f"da {' '.join([name, *rest])}\n{ended.out}\n{ended.err}"


def as_meant(words: list[str]) -> Iterator[str]:
    """The words of a command with what stands for them; of a sweep, its first two jobs at most."""
    cut = False
    for word in words:
        swept = "-m" in words and first_value(word) != word
        if swept and cut:
            word = first_value(word)
        elif swept and word.startswith("seed="):
            word, cut = "seed=1,2", True
        yield from MEANT.get(word, [word])


def of_the_right_kind(words: list[str]) -> Iterator[str]:
    """The words with runs that were trained on samples of the kind that is read."""
    others = {
        "dataset.root=new.csv": ("run=runs/table", ""),
        "dataset.root=photos/phone": ("run=runs/dann", "run=[runs/source_only,runs/dann]"),
    }
    if "dataset.root=photos/phone" in words and "predict" in words:
        # what is calibrated is the source that the run held out, as the page says
        words = [*words, *(["trust=[photos]"] if any("calibration" in w for w in words) else [])]
    one, two = next((others[word] for word in words if word in others), ("", ""))
    for word in words:
        yield (two if "[" in word else one) or word if word.startswith("run=") else word


def answer_questions() -> None:
    """The labels that a person gives, of the questions of an audit."""
    questions = pd.read_csv("audit/questions.csv", dtype=str)
    questions.assign(label="cup").to_csv("answers.csv", index=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the folder is kept that every page begins with; empty until the first has made it."""
    return tmp_path_factory.mktemp("world") / "folder"


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(
    page: str, da: Commands, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(da.folder))
    monkeypatch.setenv("WANDB_MODE", "offline")
    if DATA:
        monkeypatch.setenv("DA_DATA", DATA)
    if not world.exists():
        trained(da)
        shutil.copytree(da.folder, world)
    else:
        shutil.copytree(world, da.folder, dirs_exist_ok=True)
    typed = 0
    for words in shown_commands(PAGES[page]):
        if {*words} & ELSEWHERE.keys() or ("dataset=office_caltech10" in words and not DATA):
            continue
        if "labels=answers.csv" in words:
            answer_questions()
        given = [*as_meant(words)]
        if given[0] == "report":  # of runs that were trained with what is reported here
            given[1] = "sweeps"
        run(da, [*of_the_right_kind(given)])
        typed += 1
    assert typed or all({*words} & ELSEWHERE.keys() for words in shown_commands(PAGES[page]))
