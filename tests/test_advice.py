"""What a message advises is typed as it stands there, and works.

Every piece of advice in the code has a case here, the name of the test that types it, or the reason
why no test can.
"""

import ast
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

import da_framework
from da_framework.cli.main import COMMANDS
from da_framework.config.plugins import NEEDS
from da_framework.core.errors import InputError
from da_framework.training.build import build, compose
from tests.conftest import Commands

PACKAGE = Path(da_framework.__file__).parent
TESTS = Path(__file__).parent

# advice in the code

OVERRIDE = r"(?<![\w./-])\+?[a-zA-Z_{][\w.{}/]*=(?:\[[^\]]*\]|'[^']*'|\([^)]*\)|[^\s;,:)'`]+)"
COMMAND = rf"\bda (?:{'|'.join(COMMANDS)})\b(?: (?:-m|--[\w-]+|experiments|dataset=\w+)\b)?"
CALL = r"\b[\w.]*[A-Za-z]\w*\([^()]*\)"
INSTALL = r"\bpip install '[^']*'"
ADVICE = re.compile(f"{INSTALL}|{COMMAND}|{OVERRIDE}|{CALL}")
SUBJECT = re.compile(r"(?: and \S+?)?(?:: | (?:needs|trains|tests|mixes|reads|asks|compares|is) )")
"""What follows a value that a message only repeats, at its beginning."""
PARTS = ("dataset", "method", "network", "optimizer", "trainer", "validator")
NO_MESSAGE = {
    *("ArgumentParser", "Command", "Template", "add_argument", "print"),
    *("compile", "findall", "finditer", "fullmatch", "match", "search", "split", "sub"),
}
"""Calls whose texts are help or patterns."""


def text_of(node: ast.AST) -> str | None:
    """A text in the code, with ``{}`` for what is filled in; none if it is no text."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def messages(tree: ast.AST) -> Iterator[str]:
    """The texts of a module that may be said to a person, docstrings and help left out."""
    left: set[int] = set()
    for node in ast.walk(tree):
        if id(node) in left:
            continue
        if isinstance(node, ast.Expr) and text_of(node.value) is not None:
            left.add(id(node.value))  # a docstring
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in NO_MESSAGE:
                left |= {id(below) for below in ast.walk(node)}
            elif name in ("override", "override_word") and (key := text_of(node.args[0])):
                yield f"type {key}={{}}"
        elif (text := text_of(node)) is not None:
            left |= {id(below) for below in ast.walk(node)}
            yield text


def pieces(text: str) -> Iterator[str]:
    """What a text advises to type."""
    for found in ADVICE.finditer(text):
        piece, rest = re.sub(r"(?<!\.)\.$", "", found[0]), text[found.end() :]
        key, _, value = piece.partition("=")
        if piece == text and key.partition(".")[0] not in PARTS:
            continue  # a word that the program itself types
        repeated = "{" in value or bool(SUBJECT.match(rest))
        if "=" in piece and found.start() == 0 and piece != text and repeated:
            continue
        if key.strip("{}") or value != "{}":
            yield piece


def advice() -> dict[str, set[str]]:
    """The pieces of advice of every module."""
    every = {
        file.relative_to(PACKAGE).as_posix(): {
            piece for text in messages(ast.parse(file.read_text())) for piece in pieces(text)
        }
        for file in sorted(PACKAGE.rglob("*.py"))
    }
    return {module: found for module, found in every.items() if found}


# what is typed


class Case(NamedTuple):
    """Words that lead to advice, and what is typed of it.

    Attributes:
        words: that are typed.
        pieces: of the advice that is typed together with them, as they stand in the code.
        by: the command, or ``build``, which is ``da train`` up to its first step.
        prepare: writes what is read.
        meant: what is typed for pieces that only show how it is written.
        place: of the advice among words of its kind in the message.
    """

    words: str
    pieces: str
    by: str = "build"
    prepare: Callable[[Commands], object] | None = None
    meant: Mapping[str, str] = {}
    place: int = 0


MOONS = "dataset=two_moons network=mlp"
SMALL = ("logger=[]", "steps=2", "hydra.run.dir=run")
FOLDER = "dataset=folder network=lenet dataset.size=28"
SIDES = "dataset.source=[s] dataset.target=[t]"
PHOTOS = f"{FOLDER} dataset.root=p {SIDES}"
CROP = "{_target_: da_framework.datasets.augmentations.Crop, area: 0.5, flip: 0.5, "
CROP += "brightness: 0.1, contrast: 0.1, saturation: 0.1}"
WHOLE = ("s/cat", "s/dog", "t/cat", "t/dog")
RANDOM = np.random.default_rng(0)


def pictures(root: Path, places: Sequence[str] = WHOLE, count: int = 6) -> None:
    for place in places:
        (root / place).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((8, 8, 3), number, np.uint8)
            Image.fromarray(pixels).save(root / place / f"{number}.png")


def break_one(root: Path) -> None:
    pictures(root)
    (root / "s" / "cat" / "0.png").write_bytes(b"no image")


def arrays(*shape: int, labels: bool = True, scale: float = 1.0) -> Callable[[Commands], None]:
    def write(da: Commands) -> None:
        x = (scale * RANDOM.normal(size=shape)).astype(np.float32)
        y = np.arange(len(x)) % 2
        np.savez("s.npz", x=x, y=y)
        of_target: Any = {"y": y} if labels else {}
        np.savez("t.npz", x=x + 1, **of_target)

    return write


def bytes_of_images(da: Commands) -> None:
    for name in "st":
        x = RANDOM.integers(0, 256, size=(40, 1, 12, 12), dtype=np.uint8)
        np.savez(f"{name}.npz", x=x, y=np.arange(40) % 2)


def series(da: Commands) -> None:
    for name in "st":
        x = RANDOM.normal(size=(40, 2, 12)).astype(np.float32)
        np.savez(f"{name}.npz", x=x, y=np.arange(40) % 2, length=np.arange(40) % 5 + 8)


def table(second: str = "b", value: object = None) -> Callable[[Commands], None]:
    def write(da: Commands) -> None:
        frame = pd.DataFrame(RANDOM.normal(size=(90, 2)), columns=["a", "b"])
        frame["label"] = np.arange(90) % 2
        frame.to_csv("s.csv", index=False)
        frame[second] = frame["b"].astype(object)
        if value is not None:
            frame.loc[: 20 if value == "" else None, second] = value
        frame.to_csv("t.csv", index=False)

    return write


def first(da: Commands) -> None:
    da.train_once("first of advice", "method=source_only", "steps=2", run="first")


ARRAYS = f"dataset=arrays dataset.root=. {SIDES} network=mlp"
TABLE = f"dataset=table dataset.root=. {SIDES} network=mlp"

TEXTS = f"dataset=text dataset.root=. {SIDES}"


def texts(da: Commands) -> None:
    for name in "st":
        rows = {"text": [f"it is {n} of many" for n in range(90)], "label": np.arange(90) % 2}
        pd.DataFrame(rows).to_csv(f"{name}.csv", index=False)


def one_file(da: Commands) -> None:
    table()(da)
    frames = [pd.read_csv(f"{name}.csv").assign(domain=name) for name in "st"]
    pd.concat(frames).to_csv("one.csv", index=False)
    Path("empty").mkdir()


def unlabelled_and_first(da: Commands) -> None:
    arrays(40, 2, labels=False)(da)
    first(da)


def three_classes(da: Commands) -> None:
    first(da)
    for name in "st":
        x = RANDOM.normal(size=(60, 2)).astype(np.float32)
        np.savez(f"{name}.npz", x=x, y=np.arange(60) % 3)


def trained(*words: str) -> Callable[[Commands], None]:
    """Trains the run that a stream passes through."""

    def train(da: Commands) -> None:
        assert da("train", *words, *SMALL[:2], "callback=[]", "hydra.run.dir=first").code == 0

    return train


def after(*steps: Callable[[Commands], object]) -> Callable[[Commands], None]:
    def prepare(da: Commands) -> None:
        for step in steps:
            step(da)

    return prepare


def without_source(da: Commands) -> None:
    normed = (*MOONS.split(), "network.backbone.batch_norm=true")
    trained(*normed, "method=source_only")(da)
    Path("first").rename("start")
    trained(*normed, "method=shot_im", "dataset.source=[]", "init_from=start")(da)


def without_gradient(da: Commands) -> None:
    normed = (*MOONS.split(), "network.backbone.batch_norm=true")
    trained(*normed, "method=source_only")(da)
    Path("first").rename("start")
    trained(*normed, "method=kernel_svm", "init_from=start")(da)


def more_classes_than_samples(da: Commands) -> None:
    x = RANDOM.normal(size=(60, 4)).astype(np.float32)
    np.savez("s.npz", x=x, y=np.arange(60) % 6)
    np.savez("t.npz", x=x[:5] + 1, y=np.arange(5))


STREAM = "run=first stream_method=frozen out=s"
CASES: dict[str, list[Case]] = {
    "cli/stream.py": [
        Case(
            STREAM, "again=true", "stream", after(first, lambda da: da("stream", *STREAM.split()))
        ),
        Case(
            "run=first stream_method=eata",
            "+dataset.source=[mnist]",
            "stream",
            without_source,
            {"mnist": "straight"},
        ),
    ],
    "datasets/arrival.py": [
        *(
            Case(
                f"{STREAM} order=class trust=[.]",
                f"order={order}",
                "stream",
                after(arrays(40, 2, labels=False), trained(*ARRAYS.split(), "method=source_only")),
            )
            for order in ("iid", "domain")
        ),
        Case(
            f"{STREAM} order=gradual trust=[p]",
            "corruption=[gaussian_noise]",
            "stream",
            after(
                lambda da: pictures(Path("p"), count=20),
                trained(*PHOTOS.split(), "method=source_only"),
            ),
        ),
    ],
    "methods/easy_tl.py": [
        Case(
            f"{ARRAYS.replace('mlp', 'identity')} method=easy_tl dataset.val=0.0",
            "method=coral",
            "train",
            more_classes_than_samples,
        )
    ],
    "methods/shot_rotation.py": [
        Case(
            f"{ARRAYS} method=shot_rotation init_from=first",
            "method=shot",
            prepare=after(arrays(40, 3), trained(*ARRAYS.split(), "method=source_only")),
        )
    ],
    "networks/stream_norm.py": [
        Case("run=first stream_method=tent", "stream_method=lame", "stream", first)
    ],
    "stream_methods/base.py": [
        Case("run=first stream_method=tent", "stream_method=lame", "stream", without_gradient),
        Case(
            "run=first stream_method=shot_online",
            "stream_method=t3a",
            "stream",
            trained("dataset=two_moons", "network=identity", "method=source_only"),
        ),
    ],
    "cli/features.py": [
        Case(
            "dataset=two_moons network=mlp feature_cache=null",
            "network.freeze=backbone",
            "features",
        ),
    ],
    "cli/rank.py": [
        Case("run=[first] dataset=two_moons", "dataset.labels_per_class=3", "rank", first),
    ],
    "cli/shift.py": [
        Case("dataset=two_moons level=0.008 draws=2", "permutations={}", "shift", place=1),
        Case(
            "dataset=two_moons dataset.source=[] draws=2",
            "dataset.source={} dataset.target={}",
            "shift",
        ),
        Case(
            f"dataset=folder dataset.root=p dataset.size=128 draws=2 {SIDES}",
            "dataset.size=32",
            "shift",
            lambda da: pictures(Path("p"), count=60),
        ),
        Case(f"{TEXTS} network=identity draws=2", "network=text", "shift", texts),
        Case(
            TABLE.replace(" network=mlp", " dataset.columns=own draws=2"),
            "dataset.columns=shared",
            "shift",
            table("c"),
        ),
    ],
    "datasets/arrays.py": [
        Case(
            f"{ARRAYS} dataset.window=4",
            "dataset.shape=[channels,time]",
            prepare=arrays(40, 24),
            meant={"[channels,time]": "[2,12]"},
        ),
        Case(f"{ARRAYS} dataset.stride=4", "dataset.window={}", prepare=series),
        Case(f"{ARRAYS} dataset.scale=source", "dataset.scale=none", prepare=bytes_of_images),
    ],
    "datasets/augmentations.py": [
        Case(
            f"{MOONS} 'dataset.weak={CROP}'",
            "dataset.weak=null",
            "train",
        ),
    ],
    "datasets/columns.py": [
        Case(TABLE, "dataset.missing=mean", prepare=table("b", "")),
        Case(TABLE, "dataset.decimal={}", prepare=table("b", "1,5")),
        Case(TABLE, "dataset.{}={}", prepare=table("b", "red")),
    ],
    "datasets/custom.py": [
        Case(ARRAYS.replace("=arrays", "=folder"), "dataset={}", prepare=arrays(40, 2)),
    ],
    "datasets/datamodule.py": [
        Case(f"{MOONS} method=target_only", "dataset.labels_per_class=3"),
        Case(f"{ARRAYS} dataset.val=0.05", "dataset.val={}", prepare=arrays(8, 2)),
        Case(
            f"{ARRAYS} dataset.val=0.05",
            "dataset.val=0",
            prepare=arrays(8, 2),
            meant={"=0": "=0.0"},
        ),
        Case(
            f"{ARRAYS} method=shot init_from=first dataset.source=[] dataset.val=0.01 "
            "dataset.protocol=inductive",
            "dataset.protocol=transductive",
            prepare=unlabelled_and_first,
        ),
        Case(f"{MOONS} validator=reverse_validation dataset.val=0.0", "dataset.val=0.1", "train"),
    ],
    "datasets/folder.py": [
        Case(
            f"{FOLDER} dataset.root=deep {SIDES}",
            "dataset.root={}",
            prepare=lambda da: pictures(Path("deep") / "it's, [here]"),
        ),
    ],
    "datasets/image_cache.py": [
        Case(
            f"{PHOTOS} dataset.in_memory=false dataset.cache=p/s/cat/0.png",
            "dataset.in_memory=true",
            prepare=lambda da: pictures(Path("p")),
        ),
    ],
    "datasets/images.py": [
        Case(
            PHOTOS,
            "dataset.on_error=skip",
            prepare=lambda da: break_one(Path("p")),
        ),
        *(
            Case(
                f"{PHOTOS} dataset.in_memory=false dataset.cache=null",
                piece,
                prepare=lambda da: pictures(Path("p")),
            )
            for piece in ("dataset.cache=cache", "dataset.in_memory=true")
        ),
    ],
    "datasets/splits.py": [
        Case(
            f"{ARRAYS} dataset.label_shift=1.0",
            "dataset.label_shift=null",
            prepare=arrays(40, 2, labels=False),
        ),
        Case(
            f"{MOONS} method=target_only dataset.labels_per_class=all "
            "dataset.protocol=transductive",
            "dataset.protocol=inductive",
        ),
    ],
    "datasets/streams.py": [
        Case(f"{MOONS} ~dataset.batch_size.source", "dataset.batch_size.{}=64"),
    ],
    "datasets/table.py": [
        Case(TABLE, "dataset.drop={}", prepare=table("c")),
        Case(TABLE, "{}dataset.columns=own", prepare=table("c")),
        Case(
            f"dataset=table dataset.root=empty {SIDES} network=mlp",
            "dataset.root=FILE.csv",
            prepare=one_file,
            meant={"FILE.csv": "one.csv"},
        ),
    ],
    "methods/adabn.py": [
        Case(
            "dataset=two_moons network=identity method=adabn",
            "network=mlp network.backbone.batch_norm=true",
        ),
        Case("method=adabn network=mlp", "network=convnet"),
    ],
    "methods/distillation.py": [
        Case(
            f"{ARRAYS} method=distillation teachers=[first]",
            "method=relational_distillation",
            prepare=three_classes,
        ),
    ],
    "methods/linear_svm.py": [
        Case(
            f"{ARRAYS} method=linear_svm network=identity",
            "dataset.scale=source",
            "train",
            arrays(40, 2, scale=1e30),
        ),
    ],
    "methods/mmd.py": [
        Case(
            f"{ARRAYS} method=mmd method.bandwidth=fixed method.factors=[1e-6] "
            "callback=[diagnostics]",
            "method.bandwidth=mean method.factors={}",
            "train",
            arrays(200, 2),
        ),
        Case(
            f"{ARRAYS} method=mmd method.factors=[1e-6] callback=[diagnostics]",
            "method.factors={}",
            "train",
            arrays(200, 2),
        ),
    ],
    "networks/convnet.py": [
        Case("dataset=two_moons", "{}network=mlp"),
        *(
            Case(ARRAYS.replace("=mlp", "=lenet"), piece, prepare=bytes_of_images)
            for piece in ("network=convnet", "{}network=mlp")
        ),
        *(
            Case(ARRAYS.replace("=mlp", "=convnet"), piece, prepare=series)
            for piece in ("network=cnn1d", "network=recurrent")
        ),
    ],
    "networks/network.py": [
        Case(f"{MOONS} network.batch_norm=true network.bottleneck=[]", "network.bottleneck=[256]"),
        Case(
            f"{TABLE} dataset.columns=own network.adapter=null",
            "network.adapter=256",
            prepare=table("c"),
        ),
    ],
    "networks/text.py": [
        Case(
            f"{TEXTS} feature_cache=null network=text network.backbone=./none "
            "dataset.tokenizer=words",
            "network.backbone={}",
            prepare=texts,
        ),
    ],
    "training/module.py": [
        Case(
            f"{MOONS} dataset.source=[straight,halfway] method=irm validator=entropy",
            "validator=source_accuracy",
            "train",
        ),
        Case(
            f"{MOONS} dataset.source=[straight,halfway] method=irm dataset.val=0.0",
            "dataset.val=0.1",
            "train",
        ),
        *(
            Case(
                f"{MOONS} dataset.source=[] method=shot init_from=first validator=source_accuracy",
                piece,
                "train",
                first,
            )
            for piece in ("validator=entropy", "validator=information_maximization")
        ),
    ],
    "training/requirements.py": [
        Case(f"{MOONS} method=irm", "dataset.{}={}"),
        Case(
            f"{MOONS} method=shot", "init_from=runs/...", prepare=first, meant={"runs/...": "first"}
        ),
        Case(
            f"{MOONS} method=distillation",
            "teachers=[runs/a,runs/b]",
            prepare=first,
            meant={"runs/a,runs/b": "first"},
        ),
        Case(f"{MOONS} method=jda", "network=identity"),
        Case(
            f"{MOONS} method=jda", "init_from=runs/...", prepare=first, meant={"runs/...": "first"}
        ),
        *(Case(ARRAYS, piece, prepare=series) for piece in ("network=cnn1d", "network=recurrent")),
        Case(f"{TEXTS} feature_cache=null network=mlp", "network=text", prepare=texts),
    ],
    "training/run_log.py": [
        Case(
            f"{ARRAYS} dataset.protocol=inductive",
            "dataset.protocol=transductive",
            "train",
            arrays(40, 2, labels=False),
        ),
        Case(f"{TABLE} dataset.columns=own", "dataset.labels_per_class=3", "train", table("c")),
    ],
    "training/train.py": [
        Case(
            f"{ARRAYS} optimizer.lr=1e10 optimizer.clip=null method=source_only",
            "optimizer.clip=1.0",
            "train",
            arrays(40, 2),
        ),
        Case(
            f"{ARRAYS} method=source_only",
            "dataset.scale=source",
            "train",
            arrays(40, 2, scale=1e30),
        ),
    ],
    "training/trainer.py": [
        Case(f"{MOONS} tf32=all trainer.accelerator=cpu", piece, "train")
        for piece in ("tf32=convolutions", "tf32=none")
    ],
}


def as_pattern(piece: str) -> str:
    """What a piece of advice is like once it is filled in."""
    return r".*".join(map(re.escape, piece.split("{}")))


def type_words(da: Commands, by: str, words: Sequence[str]) -> tuple[int, str]:
    """How words end, and what is said."""
    if by != "build":
        quiet = ("callback=[]",) * (not any(word.startswith("callback") for word in words))
        small = (*SMALL, *quiet) if by == "train" else ()
        ended = da(by, *words, *small)
        return ended.code, ended.out + ended.err
    try:
        build(compose(*words))
    except InputError as error:
        return 2, str(error)
    return 0, ""


def typed(message: str) -> list[str]:
    """The overrides of a message, as a shell reads them."""
    words = []
    for begun in re.finditer(r"'?\+?[\w.]+(?:/\w+)*=", message):
        if begun.start() and message[begun.start() - 1] not in " (":
            continue
        quoted = re.match(r"(?:'[^']*'|\"[^\"]*\"|\\.|[^\s'\"\\])+", message[begun.start() :])
        assert quoted
        words += shlex.split(quoted[0].rstrip(",;:)"))
    return words


def key_of(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=f"{module}: {case.pieces}",
            marks=[pytest.mark.slow] * (case.by in ("train", "rank")),
        )
        for module, cases in CASES.items()
        for case in cases
    ],
)
def test_what_is_advised_is_typed_and_works(da: Commands, case: Case) -> None:
    if case.prepare:
        case.prepare(da)
    words = shlex.split(case.words)
    code, message = type_words(da, case.by, words)
    said = [word for word in typed(message) if word not in words]
    advised = [
        [word for word in said if re.fullmatch(as_pattern(piece), word)][case.place :]
        for piece in case.pieces.split()
    ]
    assert all(advised), (advised, message)
    pasted = [first for first, *_ in advised]
    for shown, meant in case.meant.items():
        pasted = [word.replace(shown, meant) for word in pasted]
    keys = {*map(key_of, pasted)}
    again = [*(word for word in words if key_of(word) not in keys), *pasted]
    if case.by == "train" and code == 0:
        again.append("again=true")
    then, now = type_words(da, case.by, again)
    assert then == 0, (again, now)
    assert not set(pasted) & set(typed(now)), now


# what is typed in Python, or of several commands

X = RANDOM.normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
KEYS: dict[str, Any] = {"method": "dann", "source": (X, Y), "target": X + 1, "steps": 2}


def test_a_backbone_of_maps_is_flattened_as_advised() -> None:
    maps = torch.nn.Unflatten(1, (2, 2))
    with pytest.raises(InputError, match=r"torch\.nn\.Flatten\(\) at its end") as raised:
        da_framework.fit(network=maps, **KEYS)
    end = eval(re.findall(r"torch\.nn\.Flatten\(\)", str(raised.value))[0])
    run = da_framework.fit(network=torch.nn.Sequential(maps, end), **KEYS)
    assert len(run.predict(X)) == len(X)


def test_weights_that_were_not_chosen_are_the_last_as_advised(tmp_path: Path) -> None:
    run = da_framework.prepare(network="mlp", **KEYS)
    quiet: Any = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    with pytest.warns() as _:
        pl.Trainer(accelerator="cpu", enable_checkpointing=False, **quiet).fit(
            run.module, run.domains
        )
    with pytest.raises(InputError, match=r"pick=last$"):
        run.predict(X, pick="chosen")
    assert len(run.predict(X, pick="last")) == len(X)


def test_channels_go_first_as_advised(tmp_path: Path) -> None:
    x = RANDOM.integers(0, 256, size=(40, 12, 12, 3), dtype=np.uint8)
    keys = {**KEYS, "network": "convnet", "target": x.transpose(0, 3, 1, 2)}
    with pytest.raises(InputError, match=r"x\.transpose\(0, 3, 1, 2\)") as raised:
        da_framework.prepare(**{**keys, "source": (x, np.arange(40) % 2)})
    mended = eval(re.findall(r"x\.transpose\([^)]*\)", str(raised.value))[0])
    da_framework.prepare(**{**keys, "source": (mended, np.arange(40) % 2)})


def test_what_helps_where_memory_is_short_are_keys_that_build() -> None:
    source = (PACKAGE / "training/memory.py").read_text()
    for word in ("network.recompute=true", "network.freeze=backbone"):
        assert word in source
        build(compose(word, "feature_cache=null", "dataset.batch_size.source=32"))
    for word in ("trainer.precision=bf16-mixed", "trainer.devices=2", "network.freeze=null"):
        build(compose("dataset=two_moons", "network=mlp", word))


def test_models_are_backbones_of_timm_as_advised() -> None:
    pytest.importorskip("timm")
    build(compose("network=timm", "network.backbone=resnet18", "network.size=32"))


def test_another_pick_is_whole_as_advised(da: Commands) -> None:
    first(da)
    da.copy("first", "damaged")
    for name, other in (("last", "chosen"), ("chosen", "last")):
        da.copy("first", name)
        (da.folder / name / "checkpoints" / f"{name}.ckpt").write_bytes(b"no weights")
        ended = da("evaluate", f"run={name}", f"pick={name}")
        assert (ended.code, f"pick={other}" in ended.err) == (2, True)
        assert da("evaluate", f"run={name}", f"pick={other}").code == 0


def test_a_folder_of_its_own_is_given_as_advised(da: Commands) -> None:
    from da_framework.core.files import run_lock

    words = (*shlex.split(MOONS), *SMALL[:2], "callback=[]")
    with run_lock(Path("run")):
        ended = da("train", *words, "hydra.run.dir=run")
        assert (ended.code, "hydra.run.dir=..." in ended.err) == (2, True)
        assert da("train", *words, "hydra.run.dir=other").code == 0


@pytest.mark.parametrize(
    ("command", "callback"),
    [
        (("doctor", "run"), "diagnostics"),
        pytest.param(("report", "run", "--validators"), "validators", marks=pytest.mark.slow),
        pytest.param(
            ("report", "run", "--estimates"), "accuracy_estimators", marks=pytest.mark.slow
        ),
    ],
)
def test_a_callback_is_asked_for_as_advised(
    da: Commands, command: tuple[str, ...], callback: str
) -> None:
    words = (*shlex.split(MOONS), "logger=[]", "steps=4", "evaluate_every=2", "hydra.run.dir=run")
    assert da("train", *words, "callback=[]").code == 0
    ended = da(*command)
    advised = re.findall(rf"callback=\[?{callback}\]?", ended.out + ended.err)
    assert advised
    assert da("train", *words, advised[0], "again=true").code == 0
    ended = da(*command)
    assert (ended.code, advised[0] in ended.out + ended.err) == (0, False)


@pytest.mark.slow
def test_missing_values_are_filled_as_advised(da: Commands) -> None:
    table("b")(da)
    words = (*shlex.split(TABLE), *SMALL, "callback=[]")
    frame = pd.read_csv("t.csv").drop(columns="label")
    frame.loc[3, "b"] = np.nan
    frame.to_csv("new.csv", index=False)
    assert da("train", *words).code == 0
    refused = da("predict", "run=run", "dataset.root=new.csv")
    assert (refused.code, "dataset.missing=mean, median" in refused.err) == (2, True)
    assert da("train", *words, "dataset.missing=mean").code == 0
    assert da("predict", "run=run", "dataset.root=new.csv").code == 0


# every piece of advice is typed, or it is said why not

HERE = "tests/test_advice.py"
OWN = "tests/training/test_own_trainer.py"
NOTEBOOK = "tests/test_notebook.py"
WEIGHTS = (
    "tests/networks/test_pretrained.py::"
    "test_features_under_the_weights_of_a_file_are_the_model_s_own"
)
MEMORY = f"{HERE}::test_what_helps_where_memory_is_short_are_keys_that_build"
TYPED: dict[str, dict[str, str]] = {
    "audit/questions.py": {
        "out=NAME": "tests/cli/test_audit.py::test_another_audit_needs_another_folder"
    },
    "cli/doctor.py": {
        "callback=diagnostics": f"{HERE}::test_a_callback_is_asked_for_as_advised",
        "optimizer.clip=1.0": f"{HERE}::test_what_is_advised_is_typed_and_works",
    },
    "cli/export.py": {
        "formats=[pt2]": "tests/cli/test_export.py::test_tables_are_scaled_inside",
    },
    "cli/override_errors.py": {
        "network.backbone={}": f"{NOTEBOOK}::test_words_from_elsewhere_lead_to_ours",
        "network=torchvision": f"{NOTEBOOK}::test_words_from_elsewhere_lead_to_ours",
        "+trainer.max_time=00": "tests/training/test_train.py::"
        "test_a_run_that_is_stopped_short_leaves_no_result",
        "Trainer(max_time=...)": f"{OWN}::test_a_limit_of_time_stops_with_an_evaluation",
        "network=timm": f"{HERE}::test_models_are_backbones_of_timm_as_advised",
    },
    "cli/search.py": dict.fromkeys(
        (
            *("method=dann", "interval(0,1)", "interval(0.0,2.0)", "log(0.001,0.1)"),
            *("{}={}(0.001", "method.weight=interval(0", "optimizer.lr=log(1e-4"),
        ),
        "tests/cli/test_search.py::test_values_are_those_of_a_sweep_or_an_interval",
    ),
    "core/damage.py": {"model.state_dict()": WEIGHTS},
    "core/files.py": {"{}=...": f"{HERE}::test_a_folder_of_its_own_is_given_as_advised"},
    "datasets/arrays.py": {"x.transpose(0, 3, 1, 2)": f"{HERE}::test_channels_go_first_as_advised"},
    "datasets/benchmark.py": {
        "dataset.places.{}.images={}": "tests/datasets/test_benchmark_images.py::"
        "test_another_number_of_images_is_said_and_may_be_meant"
    },
    "datasets/inference.py": {
        "+dataset.on_error=skip": "tests/cli/test_predict.py::"
        "test_broken_images_stop_or_are_named_and_left_out",
        "dataset.missing=mean": f"{HERE}::test_missing_values_are_filled_as_advised",
    },
    "datasets/memory.py": {
        "source=(x, y)": f"{NOTEBOOK}::test_whatever_holds_the_samples",
        "target=x": f"{NOTEBOOK}::test_whatever_holds_the_samples",
    },
    "networks/given.py": dict.fromkeys(
        (
            *("da_framework.fit(network=module)", "network=module"),
            "da_framework.load(folder, network=module)",
        ),
        f"{NOTEBOOK}::test_a_module_is_the_backbone",
    ),
    "networks/network.py": {
        "torch.nn.Flatten()": f"{HERE}::test_a_backbone_of_maps_is_flattened_as_advised"
    },
    "networks/timm.py": {"network.weights=model.safetensors": WEIGHTS},
    "networks/torchvision.py": {"network.weights=FILE": WEIGHTS},
    "notebook.py": {
        "pl.Trainer(...)": f"{OWN}::test_the_weights_are_those_of_fit",
        "target=x_target": f"{NOTEBOOK}::test_the_examples_run",
        "trainer__devices=1": f"{NOTEBOOK}::test_advice_is_pasted_and_works",
    },
    "results/estimate_quality.py": {
        "callback=[accuracy_estimators]": f"{HERE}::test_a_callback_is_asked_for_as_advised"
    },
    "results/selection.py": {
        "dataset.left_out=null": "tests/results/test_selection.py::"
        "test_a_sweep_over_sources_left_out_is_reported_as_advised"
    },
    "results/validator_quality.py": {
        "callback=[validators]": f"{HERE}::test_a_callback_is_asked_for_as_advised"
    },
    "stream_methods/base.py": {
        "+stream_method.view={{_target_": "tests/cli/test_stream.py::"
        "test_a_view_of_features_is_named_where_one_of_images_is_not_possible"
    },
    "training/audit_pool.py": {
        "dataset.root=FOLDER": "tests/cli/test_audit.py::test_new_samples_are_audited"
    },
    "training/build.py": {
        "init_head=fresh": "tests/training/test_warm_start.py::"
        "test_other_classes_of_a_target_alone_need_a_head_of_their_own",
        "pick=last": f"{HERE}::test_weights_that_were_not_chosen_are_the_last_as_advised",
    },
    "training/feature_cache.py": {"network.freeze=null": MEMORY},
    "training/memory.py": dict.fromkeys(
        (
            *("dataset.batch_size.{}={}", "network.freeze=backbone", "network.recompute=true"),
            *("trainer.devices=2", "trainer.precision=bf16-mixed"),
        ),
        MEMORY,
    ),
    "training/module.py": {
        "Trainer(max_steps={})": f"{OWN}::test_the_limit_that_is_advised_is_typed_and_stops",
        "dataset.batch_size={}": f"{OWN}::test_the_key_that_is_advised_is_typed_and_trains",
        "optimizer.clip={}": f"{OWN}::test_the_key_that_is_advised_is_typed_and_trains",
        **dict.fromkeys(
            ("data=...", "source=...", "target=..."),
            f"{OWN}::test_a_project_of_ones_own_trains",
        ),
        "trainer.fit(run.module, run.domains)": f"{OWN}::test_the_weights_are_those_of_fit",
    },
    "training/optimizers.py": {
        "optimizer=adamw": "tests/config/test_moved.py::test_it_is_a_cell_with_a_run_of_today"
    },
    "training/prediction.py": {
        "evaluate(x, y)": f"{NOTEBOOK}::test_evaluation_is_that_of_the_record",
        **dict.fromkeys(
            ("logits(x)", "predict(x)"), f"{NOTEBOOK}::test_what_is_no_probability_is_not_called_so"
        ),
    },
    "training/restore.py": dict.fromkeys(
        ("pick=chosen", "pick=last"), f"{HERE}::test_another_pick_is_whole_as_advised"
    ),
    "training/train.py": {
        "again=true": "tests/training/test_train.py::test_again_trains_once_more_and_keeps_the_old"
    },
    "training/warm_start.py": {
        "init_head=fresh": "tests/training/test_warm_start.py::"
        "test_a_fresh_head_learns_other_classes"
    },
}
"""Advice, and the test that types it."""

ANY = "stands for any key, name or value"
REPEATED = "repeats what was given"
NETWORK = "needs files from the network"
PROCESSES = "starts several processes, which tests of their own do"
TOLD: dict[str, dict[str, str]] = {
    "methods/kernel_svm.py": {
        "dataset.scale=source": "says the same as the linear one, whose case types it"
    },
    "cli/help.py": dict.fromkeys(("KEY=VALUE", "key=value", "part=name"), ANY),
    "cli/main.py": {"key=value": ANY},
    "cli/override_errors.py": {"key=value": ANY},
    "cli/rank.py": {"run=%s": REPEATED},
    "cli/reproduce.py": {"seed={}": "runs a whole table of a paper"},
    "cli/search.py": {
        **dict.fromkeys(("KEY=VALUES", "key=value", "trials=20]"), ANY),
        "objective=oracle": REPEATED,
        "objective=validator": "is the default, with which every other test searches",
    },
    "cli/shift.py": dict.fromkeys(
        ("network.bottleneck=[]", "network.pretrained=true", "network=timm"), NETWORK
    ),
    "cli/stream.py": {
        "order={}": REPEATED,
        "+dataset.target=[{}]": "is of targets that have columns of their own",
    },
    "cli/train.py": {"hydra/launcher=local": PROCESSES},
    "computed_tables/label_shift.py": {"n={}": "names a column of a table"},
    "metrics/label_shift.py": {
        "label_shift_correction=null": "is the default, with which every other test predicts"
    },
    "training/label_shift.py": {
        "dataset.val=0": REPEATED,
        "dataset.val=0.1": "is the default, with which every other test trains",
    },
    "datasets/arrival.py": dict.fromkeys(("order=class", "order=gradual"), REPEATED),
    "networks/stream_norm.py": dict.fromkeys(
        ("network=convnet", "network=mlp", "network.backbone.batch_norm=true"),
        "are of another training, with which tests of streams begin",
    ),
    "datasets/base.py": {
        "init_from=runs/...": "leads on to the labels of a target, which are missing as well"
    },
    "datasets/custom.py": {"dataset.scale=domain": "names the key that does the same"},
    "datasets/digits.py": {"dataset={}": NETWORK},
    "datasets/digits_files.py": {"dataset.download=true": NETWORK},
    "datasets/downloads.py": {"dataset.mirrors=[https://...]": NETWORK},
    "datasets/images.py": {"dataset.in_memory=false": "needs more images than memory holds"},
    "datasets/inference.py": {
        "dataset=arrays": "is the way of data of another kind, which must be there as well"
    },
    "datasets/origin.py": {"dataset.download=true": NETWORK},
    "datasets/table.py": dict.fromkeys(("dataset.label={}", "dataset.{}={}"), REPEATED),
    "networks/pretrained.py": dict.fromkeys(
        ("network.pretrained=true", "network.weights={}"), REPEATED
    ),
    "networks/text.py": dict.fromkeys(("network.heads={}", "padding={}", "pool={}"), REPEATED),
    "networks/torchvision.py": {"network.pretrained=true": REPEATED},
    "networks/weights.py": {"network.weights={}": REPEATED},
    "results/experiments.py": {"method={}": REPEATED},
    "results/tables.py": {"{}=...": ANY},
    "training/audit_pool.py": {"dataset.val=0": REPEATED},
    "training/method_check.py": {"{}=0": REPEATED},
    "training/module.py": {"trainer.devices=1": PROCESSES},
    "training/requirements.py": dict.fromkeys(
        ("network.recompute=true", "dataset.left_out={}"), REPEATED
    ),
    "training/resume.py": {"hydra.run.dir=...": "is of a kill between two writes, which is told"},
    "training/run_log.py": {"init_from=runs/...": "is the way of who has such a run already"},
    "training/streaming.py": {"guard=true": "is of a model that has diverged, with other rates"},
    "training/train.py": {"trainer.strategy=ddp": PROCESSES},
}
"""Advice that no test types, and the reason."""


def rows() -> dict[str, set[str]]:
    """What is typed or told of every module."""
    every: dict[str, set[str]] = {}
    for module, cases in CASES.items():
        every.setdefault(module, set()).update(p for case in cases for p in case.pieces.split())
    for table_of_names in (TYPED, TOLD):
        for module, known in table_of_names.items():
            every.setdefault(module, set()).update(known)
    return every


def is_command(piece: str) -> bool:
    return piece.startswith(("da ", "pip install"))


def test_every_piece_of_advice_has_a_row_and_every_row_its_advice() -> None:
    there = {
        (module, piece)
        for module, found in advice().items()
        for piece in found
        if not is_command(piece)
    }
    known = {(module, piece) for module, pieces in rows().items() for piece in pieces}
    assert sorted(there - known) == [], "advice that nobody has typed"
    assert sorted(known - there) == [], "rows of advice that is gone"


def test_advice_that_is_new_would_be_seen() -> None:
    code = "def f(x):\n    raise InputError(f'{x} is no good: dataset.new={x}, or other=key')\n"
    found = {piece for text in messages(ast.parse(code)) for piece in pieces(text)}
    assert found == {"dataset.new={}", "other=key"}


def test_tests_that_type_advice_are_there() -> None:
    for name in {name for known in TYPED.values() for name in known.values()}:
        file, _, test = name.partition("::")
        assert f"def {test}(" in (TESTS.parent / file).read_text(), name


def test_commands_that_are_advised_take_what_is_advised(da: Commands) -> None:
    pieces = {p for found in advice().values() for p in found if p.startswith("da ")}
    assert pieces
    for piece in sorted(pieces):
        name = next(name for name in COMMANDS if piece.startswith(f"da {name}"))
        for word in piece.removeprefix(f"da {name}").split():
            if word.startswith("--"):
                assert word in da(*name.split(), "--help").out
            elif name == "list":
                assert da("list", word).code == 0


def test_packages_that_are_advised_are_extras() -> None:
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    code = "\n".join(file.read_text() for file in PACKAGE.rglob("*.py"))
    named = set(re.findall(r"pip install 'da_framework\[(\w+)\]'", code))
    named |= set(re.findall(r'(?:require_package|explain_import)\([^)]*"(\w+)"\)', code))
    named |= {extra for _, extra in NEEDS.values()}
    assert {"onnx", "mlflow", "excel", "text"} <= named
    assert named <= extras.keys()
