"""Help where one types: examples, parts, and every key of ``conf/`` with what it means."""

import re
import shlex
from typing import Any

import pytest

from da_framework.cli.help import render_help
from da_framework.cli.main import COMMANDS
from da_framework.config.catalog import GROUPS, option_names
from da_framework.config.key_help import (
    Keys,
    command_help,
    find_config,
    introduction,
    option_keys,
)
from da_framework.config.plugins import conf_dir

COMPOSED = [name for name, command in COMMANDS.items() if command.hydra]
OPTIONS = [
    (group, name) for group in GROUPS if group != "experiments" for name in option_names(group)
]
HYDRAS = re.compile(r"^hydra:.*?(?=^\S|\Z)|^defaults:.*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def comments(name: str) -> list[str]:
    """The comments at the ends of lines of a file of ``conf/``, but for what is said to Hydra."""
    file = conf_dir() / f"{name}.yaml"
    text = HYDRAS.sub("", file.read_text("utf-8"))
    beside = re.findall(r"^[^#\n]*[^#\s][^#\n]*\s#\s*(.+)$", text, flags=re.MULTILINE)
    return [comment for comment in beside if not comment.startswith("what every ")]


def help_of(name: str, *words: str, width: int = 100) -> str:
    chosen = dict(word.split("=") for word in words)
    told = command_help(name.replace(" ", "_"), {group: [one] for group, one in chosen.items()})
    return "\n".join(render_help(name, told, width))


def as_one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("command", COMPOSED)
def test_every_comment_is_in_the_help(command: str) -> None:
    shown = as_one_line(help_of(command))
    for comment in comments(command.replace(" ", "_")):
        assert as_one_line(comment) in shown, comment


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_every_key_of_an_option_has_a_meaning_that_is_shown(group: str, name: str) -> None:
    keys = option_keys(group, name)
    assert [key for key, told in keys.items() if not told.meaning] == []
    shown = as_one_line(help_of("train", f"{group}={name}"))
    for comment in comments(f"{group}/{name}"):
        assert as_one_line(comment) in shown, comment
    assert all(f"{key}=" in shown for key in keys)


@pytest.mark.parametrize("command", COMPOSED)
def test_every_key_of_a_command_has_a_meaning(command: str) -> None:
    keys: Keys = command_help(command.replace(" ", "_"), {}).keys
    assert [key for key, told in keys.items() if not told.meaning] == []


def test_a_meaning_is_the_comment_or_else_the_docstring_s() -> None:
    keys = command_help("train", {}).keys
    assert keys["seed"] == ("1", "of everything random in training")
    assert keys["method.hidden"] == ("[100, 100]", "widths of the discriminator's hidden layers")
    assert keys["dataset.source"] == ("[mnist]", "labelled domains")  # from the dict of all roles
    assert keys["method.alpha"].meaning.startswith("share of the source")


def test_an_option_is_shown_with_its_own_keys(da: Any) -> None:
    ended = da("train", "method=mcd", "--help")
    assert (ended.code, ended.err) == (0, "")
    assert "method.repeats=2" in ended.out
    assert "method.hidden" not in ended.out
    assert "method=mcd: Maximum classifier discrepancy" in ended.out


def test_what_a_method_chooses_of_another_part_is_shown() -> None:
    assert command_help("train", {}).choices["validator"] == ["information_maximization"]
    assert command_help("train", {"method": ["irm"]}).choices["validator"] == ["source_accuracy"]
    typed = command_help("train", {"method": ["irm"], "validator": ["dev"]})
    assert typed.choices["validator"] == ["dev"]


@pytest.mark.parametrize("command", COMPOSED)
def test_the_examples_come_first_and_compose(da: Any, command: str) -> None:
    ended = da(*command.split(), "--help")
    assert (ended.code, ended.err) == (0, "")
    file = find_config(command.replace(" ", "_"))
    assert file is not None
    examples = [line.strip() for line in introduction(file) if line.startswith(" ")]
    assert examples
    assert all(example in ended.out.split("Parts,")[0].split("Keys,")[0] for example in examples)
    for example in examples:
        _, *words = shlex.split(example, comments=True)
        rest = words[len(command.split()) :]
        assert words[: len(command.split())] == command.split()
        if "-m" in rest or "--help" in rest:
            continue
        assert da(*words, "--cfg", "job").code == 0, example


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in COMPOSED])
def test_every_other_command_shows_an_example(da: Any, command: str) -> None:
    shown = as_one_line(da(command, "--help").out)
    assert re.search(rf"(example|usage).*\bda {command} \S", shown)


@pytest.mark.parametrize("width", [24, 40, 80, 200])
def test_it_is_as_wide_as_the_terminal(width: int) -> None:
    lines = help_of("train", width=width).splitlines()
    examples = {line for line in lines if line.startswith("  da ")}
    wide = [line for line in lines if len(line) > width and line not in examples]
    # a key with its value, or a word, cannot be broken
    assert [line for line in wide if not re.match(r"  [\w./]+=|\s*\S+( \\)?$", line)] == []


def test_what_is_mistyped_leads_to_what_there_is(da: Any) -> None:
    ended = da("reprot")
    assert ended.code == 2
    assert ended.err.startswith("'reprot' is no command; did you mean da report")


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        ("rank bi=leep", "bi: there is no such key; did you mean by?"),
        ("evaluate pik=last", "did you mean pick?"),
        ("evaluate checkpoint=runs/a", "here it is run"),
        ("predict output=x.csv", "here it is out"),
        ("predict rn=a", "did you mean run?"),
        ("export format=onnx", "did you mean formats?"),
        ("check methd=dann", "did you mean method?"),
        ("features netwrk=timm", "did you mean network?"),
        ("data check oout=x", "did you mean out?"),
        ("audit runs=[a,b]", "did you mean run?"),
        ("shift perm=10", "did you mean permutations?"),
        ("search method=dann,mmd trails=3", "did you mean trials?"),
        ("train output=x", "here it is hydra.run.dir"),
        ("train entity=x logger=[]", "here it is logger.wandb.entity"),
        ("train max_time=3", "here it is +trainer.max_time="),
        ("reproduce --sed 1", "--sed (did you mean --seeds?)"),
        ("report --validtors .", "--validtors (did you mean --validators?)"),
        ("list --markdwn", "--markdwn (did you mean --markdown?)"),
        ("list settng=open-set", "did you mean setting=open-set"),
        ("new-method foo --pakage x", "--pakage (did you mean --package?)"),
        ("sync --hlp .", "--hlp (did you mean --help?)"),
        ("doctor --hlp .", "--hlp (did you mean --help?)"),
    ],
)
def test_the_nearest_key_is_said_by_every_command(da: Any, words: str, nearest: str) -> None:
    ended = da(*words.split())
    assert ended.code == 2
    assert nearest in ended.err
    assert not any(da.folder.iterdir())


def test_of_an_option_that_is_not_there_it_says_so_as_the_command_does(da: Any) -> None:
    for command, word in (("stream", "stream_method=nope"), ("train", "method=dan,nope")):
        ended = da(command, word, "--help")
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(word.partition("=")[0])
        assert "there is no such" in ended.err
    for word in ("method=glob(d*)", "experiments=null", "seed=nope", "callback=[]"):
        assert da("train", word, "--help").code == 0
