"""Keys, tokens and passwords: refused in a command, hidden in what is printed, in no file."""

import logging
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import da_framework
from da_framework.cli.main import COMMANDS
from da_framework.cli.secrets import refuse_secrets
from da_framework.core.errors import InputError
from da_framework.core.secrets import redact
from da_framework.core.terminal import clean_output
from da_framework.training.module import Adaptation
from tests.conftest import Commands, Ended

KEY = "0123456789abcdef0123456789abcdef01234567"
PASSWORD = "correct horse,=battery/50%"
AWS = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzEXAMP1EKE"
ENVIRONMENT = {
    "WANDB_API_KEY": KEY,
    "PGPASSWORD": PASSWORD,
    "AWS_SECRET_ACCESS_KEY": AWS,
    "GITHUB_PAT": "my-pat-12345",
    "MYTOKEN": "my-token-12345",
    "google_credentials": "my-credentials-12345",
    "DA_WHERE": "https://user:hidden-in-an-address@example.org/simple",
}
NETRC = "machine api.wandb.ai\n  login user\n  password netrc-password-1\n"
TOKENS = {
    "hugging_face": "hf_" + "aBcDeFgHiJ" * 4,
    "github": "ghp_" + "a1B2c3D4e5F6" * 3,
    "github_fine": "github_pat_" + "11ABCDE_f9" * 8,
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "aws_secret": "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",
    "wandb": "wandb_v1_" + "aB3" * 26,
    "wandb_old": "fedcba9876543210fedcba9876543210fedcba98",
}
SECRETS = [*ENVIRONMENT.values(), "netrc-password-1", *TOKENS.values(), "hidden-in-an-address"]

X = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
Y = np.arange(40) % 2

WORDS = {
    "key_of_a_config": f"+logger.wandb.api_key={KEY}",
    "a_key_of_its_own": "+token=anything-at-all",
    "nested": f"logger={{wandb: {{api_key: {KEY}}}}}",
    "nested_without_blanks": "logger={wandb:{password:anything-at-all}}",
    "environment_of_a_job": "hydra.job.env_set.ANY=my-token-12345",
    "value": f"dataset.root={KEY}",
    "in_a_list": "dataset.mirrors=[a,my-pat-12345]",
    "in_a_dict": "+dataset={a: {b: 'x-my-credentials-12345-x'}}",
    "quoted": f"data_dir='{PASSWORD}'",
    "escaped": "data_dir=" + PASSWORD.replace(",", r"\,").replace("=", r"\="),
    "in_an_address": "dataset.mirrors=[https://example.org/correct%20horse%2C%3Dbattery%2F50%25]",
    "as_a_name": "+my-token-12345=1",
    "by_reference": "data_dir=${oc.env:GITHUB_PAT}",
    "by_reference_to_what_is_not_there": "data_dir=${oc.env:HF_TOKEN,x}",
    "by_a_made_up_reference": 'data_dir="${oc.env:GITHUB_${oc.decode:PAT}}"',
    "a_folder_by_reference": 'hydra.run.dir="runs/${oc.env:MYTO${oc.decode:KEN}}"',
    "in_a_sweep": "seed=1,my-token-12345",
    "netrc": "data_dir=netrc-password-1",
    "aws_secret": f"data_dir={AWS}",
    "password_of_an_address": "dataset.mirrors=[https://user:any-password@example.org]",
    "password_of_an_address_elsewhere": "data_dir=hidden-in-an-address",
    **{f"token_of_{name}": f"logger.wandb.project={token}" for name, token in TOKENS.items()},
}
"""By how it is given: an override that holds one."""


@pytest.fixture
def planted(da: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> Path:
    """A machine with secrets in its environment and its home; the home."""
    home: Path = tmp_path_factory.mktemp("home")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.delenv("NETRC", raising=False)
    (home / ".netrc").write_text(NETRC)
    return home


def assert_unseen(da: Commands, ended: Ended) -> None:
    """No secret is printed, and none in a file or a name below the folder."""
    texts = [ended.out + ended.err, *(str(path) for path in da.folder.rglob("*"))]
    texts += [path.read_bytes().decode("latin-1") for path in files_below(da.folder)]
    assert not [secret for secret in SECRETS for text in texts if secret in text]


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("command", [["train"], ["train", "-m"]], ids=" ".join)
@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS.keys())
def test_a_secret_in_a_command_is_refused_before_there_is_a_folder(
    da: Commands, planted: Path, command: list[str], word: str
) -> None:
    ended = da(*command, *da.small, word)
    assert ended.code == 2, ended
    assert "leave it to the environment" in ended.err
    assert "Traceback" not in ended.err
    assert_unseen(da, ended)
    assert not list(da.folder.iterdir())


@pytest.mark.parametrize("command", [*COMMANDS, "unknown"])
@pytest.mark.parametrize("word", ["my-token-12345", f"folder={TOKENS['github']}"])
def test_every_command_refuses_one(da: Commands, planted: Path, command: str, word: str) -> None:
    ended = da(*command.split(), word)
    assert ended.code == 2
    assert_unseen(da, ended)
    assert not list(da.folder.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["--config-dir={folder}", "+mine=own"],
        ["--config-dir", "{folder}", "+mine=own"],
        ["--config-dir={folder}", "+mine=own,other", "-m"],
        ["hydra.searchpath=[file://{folder}]", "+mine=own"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    "text", ["data_dir: my-token-12345", "api_key: anything", "a:\n - ${{oc.env:GITHUB_PAT}}"]
)
def test_files_of_configs_are_read_for_them(
    da: Commands, planted: Path, words: list[str], text: str
) -> None:
    folder = planted / "configs"
    (folder / "mine").mkdir(parents=True)
    (folder / "mine/own.yaml").write_text(text.replace("{{", "{").replace("}}", "}"))
    (folder / "mine/other.yaml").write_text("a: 1  # token: none here\n")
    ended = da("train", *da.small, *(word.format(folder=folder) for word in words))
    assert ended.code == 2
    assert "own.yaml" in ended.err or "GITHUB_PAT is a secret" in ended.err
    assert_unseen(da, ended)
    assert not list(da.folder.iterdir())


def test_experiments_are_read_for_them(
    da: Commands, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from da_framework.cli import secrets

    file = planted / "experiments/mine.yaml"
    file.parent.mkdir()
    file.write_text("# @package _global_\ndata_dir: my-token-12345\n")
    monkeypatch.setattr(secrets, "conf_dir", lambda: planted)
    for command in (("train", "-m", "experiments=mine"), ("reproduce", "mine")):
        ended = da(*command)
        assert ended.code == 2
        assert "experiments/mine.yaml: data_dir holds the value of MYTOKEN" in ended.err
        assert not list(da.folder.iterdir())


def test_what_a_config_draws_in_is_refused(
    da: Commands, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DA_DATA", "my-token-12345")  # which is a key's default
    ended = da.train()
    assert ended.code == 2
    assert ended.err.startswith("data_dir holds the value of MYTOKEN: ")
    assert not list(da.folder.iterdir())


def test_a_run_among_secrets_has_none_in_its_files(
    da: Commands, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_BASE_URL", "https://user:hidden-in-an-address@localhost:1")
    logger = da.small[3].replace("[]", "[wandb]")
    ended = da("train", *da.small[:3], logger, "callback=[]", "hydra.run.dir=run")
    assert ended.code == 0, ended
    names = {path.name for path in files_below(da.folder)}
    assert {"result.json", "config.yaml", "da.log"} <= names
    assert any(name.endswith(".wandb") for name in names)
    assert_unseen(da, ended)


IN_PYTHON: dict[str, dict[str, Any]] = {
    "value": {"data_dir": "my-token-12345"},
    "within_a_value": {"dataset__features": "x-my-pat-12345"},
    "in_a_list": {"teachers": ["a", KEY]},
    "in_a_mapping": {"dataset": {"columns": {"a": PASSWORD}}},
    "key": {"logger__wandb__api_key": "anything-at-all"},
    "address": {"data_dir": "https://user:any-password@example.org"},
    "token": {"run_name": TOKENS["github"]},
    "netrc": {"feature_cache": "netrc-password-1"},
}
"""By how it is given: keys of ``fit`` that hold one."""


@pytest.mark.parametrize("keys", IN_PYTHON.values(), ids=IN_PYTHON.keys())
def test_python_refuses_one(da: Commands, planted: Path, keys: dict[str, Any]) -> None:
    refusal = "leave it to the environment|is of runs that have a folder"
    with pytest.raises(InputError, match=refusal) as refused:
        da_framework.fit(method="dann", source=(X, Y), target=X, **keys)
    assert_unseen(da, Ended(1, "", str(refused.value)))
    with pytest.raises(InputError, match=refusal):
        da_framework.Estimator("dann", **keys).fit(X, Y, X)
    assert not list(da.folder.iterdir())


def test_what_a_config_of_python_draws_in_is_not_saved(
    da: Commands, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DA_DATA", "my-token-12345")
    run = da_framework.fit(method="dann", source=(X, Y), target=X, network="mlp", steps=1)
    with pytest.raises(InputError, match=r"^data_dir: holds a secret") as refused:
        run.save("saved")
    assert_unseen(da, Ended(1, "", str(refused.value)))
    assert not list(da.folder.iterdir())


def test_errors_that_are_passed_on_are_without_them(
    da: Commands, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{KEY} at https://user:any-password@example.org: {PASSWORD}"

    def step(self: Adaptation, batch: Any) -> None:
        logging.getLogger("elsewhere").warning("%s", text)
        print(text)
        raise RuntimeError(text)

    monkeypatch.setattr(Adaptation, "take_step", step)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    assert da("train", "-m", *da.small, "hydra.sweep.dir=sweep").code == 1
    logs = [path.read_text() for path in files_below(da.folder) if path.suffix == ".log"]
    assert any("*** at https://user:***@example.org: ***" in log for log in logs)
    assert_unseen(da, da("list", "validator"))
    with pytest.raises(RuntimeError):
        da.train(run="alone")
    sys.excepthook(RuntimeError, RuntimeError(text), None)
    shown = da.capsys.readouterr().err
    assert "RuntimeError: *** at https://user:***@example.org: ***" in shown
    assert_unseen(da, Ended(1, "", shown))


def test_texts_are_printed_without_them(planted: Path) -> None:
    for secret in SECRETS:
        if secret != TOKENS["wandb_old"] and secret != TOKENS["aws_secret"]:
            assert secret not in redact(f"x {secret} {shlex.quote(secret)} {secret!r} x")
    assert redact("https://u:p@ss@h:1/a@b and u:p@h") == "https://u:***@h:1/a@b and u:p@h"
    assert redact("see https://example.org:443/a?b=c@d") == "see https://example.org:443/a?b=c@d"


def test_a_key_or_a_variable_is_named(planted: Path) -> None:
    for word, message in (
        ("data_dir=my-token-12345", "data_dir holds the value of MYTOKEN: "),
        ("a.b=netrc-password-1", "a.b holds the value of a password in .netrc: "),
        (f"a.b={TOKENS['aws']}", "a.b holds what looks like a token: "),
        (f"a.b={TOKENS['wandb_old']}", "a.b holds what looks like a key of W&B: "),
        ("x.api_key=1", "x.api_key is a secret: "),
    ):
        with pytest.raises(InputError, match=f"^{message}"):
            refuse_secrets([word], composes=False)


def test_what_only_looks_like_one_is_let_through(
    planted: Path, da: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = TOKENS["wandb_old"]
    (da.folder / "data").mkdir()
    (da.folder / commit).mkdir()
    monkeypatch.setenv("SSH_KEY", str(da.folder / "data"))  # a path, of no secret
    monkeypatch.setenv("PAT", "digits")  # short
    refuse_secrets(
        [
            *("network.tokenizer=bert", "network.max_tokens=512", "dataset.root=tokens/x"),
            *(f"network.revision={commit[::-1]}", f"hydra.run.dir=runs/{commit[::-1]}"),
            *(f"logger.wandb.name={commit[::-1]}", f"run={commit}", f"+x=run-{commit[::-1]}"),
            *(f"dataset.root={da.folder}/data", "dataset=digits", "data_dir=${oc.env:SSH_KEY}"),
            *("dataset.mirrors=[https://example.org:8080/a@b]", "token=null", "--list"),
            "data_dir=/home/Someone/Data/Office31/Amazon2/Img",
            "+x=" + "ab12" * 16,
        ],
        composes=True,
    )


def test_the_streams_are_given_back() -> None:
    before = sys.stdout, sys.stderr, logging.getLogRecordFactory()
    with clean_output(), clean_output():
        assert sys.stdout is not before[0]
    assert (sys.stdout, sys.stderr, logging.getLogRecordFactory()) == before
