import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from da_framework.cli.list import main
from da_framework.config import plugins
from da_framework.config.catalog import (
    GROUPS,
    first_docstring_line,
    list_group,
    option_names,
    summarize_config,
)
from da_framework.config.method_settings import SETTINGS, method_settings
from da_framework.core.errors import InputError


def names(group: str) -> dict[str, str]:
    return {name: words for name, words, _ in list_group(group)}


@pytest.mark.parametrize("group", GROUPS)
def test_the_configs_are_the_list(group: str) -> None:
    folder = plugins.conf_dir() / group
    files = {f.relative_to(folder).with_suffix("").as_posix() for f in folder.rglob("*.yaml")}
    assert set(names(group)) == files
    assert all(origin == "da_framework" for _, _, origin in list_group(group))


@pytest.mark.parametrize("group", ["method", "dataset", "network", "validator"])
def test_everything_says_what_it_is(group: str) -> None:
    for name, message in names(group).items():
        assert len(message) > 5, name
        assert "cannot be found" not in message, name


def test_every_method_is_described_by_a_sentence_of_its_own_that_names_it() -> None:
    told = names("method")
    assert len(set(told.values())) == len(told), "a variant has its own"
    assert [name for name, words in told.items() if not re.fullmatch(r"[A-Z].+: .+\.", words)] == []


def test_a_summary_is_the_docstring_s_first_line() -> None:
    from da_framework.methods.dann import DANN

    assert names("method")["dann"] == (DANN.__doc__ or "").partition("\n")[0]


def test_a_comment_goes_before_the_docstring(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    body = "_target_: da_framework.methods.dann.DANN\n"
    file.write_text(f"# @package _global_\n\n# in words of its own\n{body}")
    assert summarize_config(file) == "in words of its own"
    file.write_text(f"# @package _global_\n{body}")
    assert summarize_config(file) == names("method")["dann"]
    file.write_text("steps: 3\n")
    assert summarize_config(file) == ""
    file.write_text("")
    assert summarize_config(file) == ""


@pytest.mark.parametrize(
    ("target", "missing"),
    [
        ("no_such_package.methods.Foo", "no_such_package"),
        ("da_framework.no_such_module.Foo", "da_framework.no_such_module"),
        ("da_framework.methods.no.such.Foo", "da_framework.methods.no"),
    ],
)
def test_a_missing_module_is_named(target: str, missing: str) -> None:
    message = first_docstring_line(target)
    assert message.startswith("cannot be found: ")
    assert missing in message


def test_a_name_that_the_module_lacks_has_no_words() -> None:
    assert first_docstring_line("da_framework.methods.dann.Dan") == ""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that brings two methods, one of which is not there."""
    package = tmp_path / "listed_da"
    folder = package / "conf" / "method"
    folder.mkdir(parents=True)
    (package / "methods.py").write_text(
        'raise RuntimeError("imported")\nclass Foo:\n    """Does foo.\n\n    More."""\n'
    )
    (folder / "foo.yaml").write_text("_target_: listed_da.methods.Foo\n")
    (folder / "lost.yaml").write_text("_target_: listed_da.lost.Lost\n")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("listed", "listed_da.conf", plugins.GROUP)
    monkeypatch.setattr(plugins, "read_points", lambda group: [point])
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] == "listed_da"]:
        del sys.modules[name]


@pytest.mark.usefixtures("plugin")
def test_a_plugin_s_methods_are_listed_without_importing_them() -> None:
    actual = {name: (words, origin) for name, words, origin in list_group("method")}
    assert actual["foo"] == ("Does foo.", "listed")
    assert actual["lost"] == ("cannot be found: no module listed_da.lost", "listed")
    assert actual["dann"][1] == "da_framework"
    assert "listed_da.methods" not in sys.modules


def test_a_plugin_s_package_is_not_imported_either(plugin: Path) -> None:
    (plugin / "__init__.py").write_text("raise RuntimeError('imported')")
    assert {name for name, _, origin in list_group("method") if origin == "listed"} == {
        "foo",
        "lost",
    }


def test_the_list_is_printed_by_group(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith("=")] == [f"{group}=" for group in GROUPS]
    main(["method"])
    item = capsys.readouterr().out
    assert item.startswith("method=\n")
    assert "dataset=" not in item
    (dann,) = [line for line in item.splitlines() if line.startswith("  dann ")]
    assert dann.endswith("[da_framework]")


def test_no_other_group_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="did you mean optimizer"):
        main(["optimiser"])
    assert capsys.readouterr().out == ""


def test_a_name_is_shown_in_every_group_that_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    main(["mmd"])
    shown = capsys.readouterr().out
    titles = [line for line in shown.splitlines() if re.match(r"\S+=\S+$", line)]
    assert titles == ["method=mmd", "term=mmd", "validator=mmd"]
    assert "https://arxiv.org/abs/1502.02791" in shown
    assert "setting: unsupervised" in shown
    assert re.search(r"method\.weight=1\.0 +w of the discrepancy", shown)


@pytest.mark.parametrize("group", GROUPS)
def test_every_name_can_be_shown(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in option_names(group):
        main([name])
        assert f"{group}={name}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("setting", "member", "other"),
    [
        ("source-free", "shot", "dann"),
        ("unsupervised", "dann", "shot"),
        ("unsupervised", "adda", "fine_tuning"),
        ("generalization", "irm", "dann"),
        ("few-labels", "mme", "dann"),
        ("fine-tuning", "lwf", "joint"),
        ("teachers", "progressive", "lwf"),
        ("open-set", "osbp", "pada"),
        ("partial", "pada", "osbp"),
        ("shallow", "jda", "mmd"),
        ("baseline", "source_only", "jda"),
    ],
)
def test_methods_of_a_setting(
    setting: str, member: str, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["method", f"setting={setting}"])
    listed = re.findall(r"^  (\w+)  ", capsys.readouterr().out, flags=re.MULTILINE)
    assert member in listed
    assert other not in listed


def test_every_method_has_a_setting_and_every_setting_a_method() -> None:
    by_method = {name: method_settings(name) for name in option_names("method")}
    assert all(by_method.values())
    assert {setting for settings in by_method.values() for setting in settings} == {*SETTINGS}


def test_a_setting_that_is_none_names_those_there_are() -> None:
    with pytest.raises(InputError, match="source-free: a trained network"):
        main(["setting=sourcefree"])
