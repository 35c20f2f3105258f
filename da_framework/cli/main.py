"""``da``: one word for what to do, Hydra's overrides for how.

Nothing heavy is imported here: help, listings and completion answer at once.
"""

import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from da_framework.cli.secrets import refuse_secret_values, refuse_secret_words
from da_framework.core.errors import InputError, PreemptedError, exit_message
from da_framework.core.signals import handle_signals

HYDRA = ("train", "evaluate", "predict", "export", "rank", "check", "features", "data check")
"""Commands that Hydra runs; each has a config of its name in ``conf/``, as ``data_check``."""

MULTIRUN = ("-m", "--multirun")

COMMANDS = {
    "train": "train a method, or a sweep with -m",
    "search": "the best values of keys by trial: da search method=dann,mmd trials=20",
    "evaluate": "score a finished run's weights: da evaluate run=...",
    "predict": "classes of new rows, without labels: da predict run=... dataset.root=...",
    "export": "a finished run for other programs, by torch.export and ONNX: da export run=...",
    "rank": "which finished run suits a new task best: da rank run=[...]",
    "check": "hold a method against its promises: da check method=...",
    "features": "compute a frozen backbone's features ahead: da features network.freeze=backbone",
    "data check": "read all of a data set once, and say what is wrong: da data check dataset=...",
    "reproduce": "a paper's table beside our numbers: da reproduce --list",
    "report": "a table of finished runs: da report FOLDER ...",
    "doctor": "did a finished run align its domains, and what to try: da doctor RUN",
    "sync": "send runs to W&B that were offline: da sync FOLDER ...",
    "list": "what there is to choose from",
    "new-method": "the files to begin a method with, here or in a package of its own",
}

USAGE = f"""usage: da COMMAND [key=value ...]

{chr(10).join(f"  {name:<12}{words}" for name, words in COMMANDS.items())}

`da train --help` lists the keys of training; `da train` alone is a first run.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command.

    Ends with 2 for what a person can mend, 3 for a run that diverged, and 75 after a signal: the
    same command continues.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["-sc"]:
        complete(arguments)
        return
    command, rest = split_command(arguments or ["--help"])
    if command in ("-h", "--help"):
        print(USAGE)
        return
    if command not in COMMANDS:
        exit_with(f"{command!r} is no command\n\n{USAGE}", code=2)
    logging.raiseExceptions = False  # a log that cannot be written to is no reason to say so
    with exit_on_user_error(), handle_signals(raise_preempted):
        if command in HYDRA:
            run_hydra(command, rest)
        else:
            run_plain(command, rest)


def split_command(words: list[str]) -> tuple[str, list[str]]:
    """The command, which may be of two words, and what follows."""
    two = " ".join(words[:2])
    return (two, words[2:]) if two in COMMANDS else (words[0], words[1:])


def raise_preempted(signal: str) -> None:
    """Ends the command where it is: what training would lose, it saves itself."""
    raise PreemptedError(f"{signal}: the same command continues from the last checkpoint, if any")


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Ends with one message for what a person can mend, not with a traceback."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # who read it has seen enough: da list | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except (Exception, KeyboardInterrupt, PreemptedError) as error:
        if found := exit_message(error):
            exit_with(found[0], code=found[1])
        raise


def run_plain(command: str, rest: list[str]) -> None:
    """The commands with options of their own."""
    if command == "list":
        from da_framework.config.catalog import main as run
    elif command == "new-method":
        from da_framework.cli.new_method import main as run
    elif command == "doctor":
        from da_framework.cli.doctor import main as run
    elif command == "search":
        from da_framework.cli.search import main as search

        search(rest, main)
        return
    elif command == "reproduce":
        from da_framework.results.reproduction import main as run
    elif command == "sync":
        from da_framework.cli.sync import main as run
    else:
        from da_framework.results.tables import main as run
    run(rest)


def run_hydra(command: str, rest: list[str]) -> None:
    """Hands over to Hydra: help, composition, sweeps and launchers are its own."""
    import hydra
    from hydra.errors import ConfigCompositionException, HydraException

    from da_framework.cli import sweeps
    from da_framework.config import plugins
    from da_framework.config import run_names as names

    refuse_secret_words(rest)
    names.register_resolvers()
    plugins.register_search_path()
    for word in rest:
        if word in plugins.NEEDS:
            plugins.require_package(word, *plugins.NEEDS[word])
    # options first: Hydra takes none between overrides
    rest = sorted(rest, key=lambda word: word not in MULTIRUN)
    if set(MULTIRUN) & set(rest) and not any(
        word.startswith(("hydra.sweep.dir=", "experiments=", "+experiments=")) for word in rest
    ):
        own = names.relevant_overrides([word for word in rest if "=" in word])
        name = names.slug([names.short_override(word) for word in own], hashed=own)
        places = (number for number, word in enumerate(rest) if "=" in word or word in MULTIRUN)
        place = max(places) + 1  # among the overrides: behind options, they are no longer read
        rest[place:place] = [f"hydra.sweep.dir='multirun/{name}'"]  # quoted: it holds equals signs
    tasks = {
        "train": train_task,
        "evaluate": evaluate_task,
        "predict": predict_task,
        "export": export_task,
        "rank": rank_task,
        "check": check_task,
        "features": features_task,
        "data check": data_check_task,
    }
    config_name = command.replace(" ", "_")
    config_dir = str(plugins.conf_dir())
    # errors come out of Hydra as they are, and are said here
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = [f"da {command}", *rest]
    run = hydra.main(version_base="1.3", config_path=config_dir, config_name=config_name)
    try:
        with sweeps.monitor_sweep():
            run(tasks[command])()
    except (ConfigCompositionException, HydraException, ValueError) as error:
        # a group set to nothing is a plain ValueError of Hydra's
        if str(error).startswith("Only one of"):
            raise InputError(f"{error}; without -m, --cfg shows one job") from None
        if isinstance(error, ValueError) and "Config group override" not in str(error):
            raise
        from da_framework.cli.override_errors import explain_overrides

        raise InputError(explain_overrides(rest, config_dir, config_name, error)) from error


def train_task(config: Any) -> float | None:
    """One job: trains, or shows what is there."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from da_framework.cli.sweeps import run_job
    from da_framework.config.schema import to_plain
    from da_framework.results.model_card import write_card
    from da_framework.results.tables import print_run
    from da_framework.training.train import train

    job = HydraConfig.get()
    overrides = list(job.overrides.task)
    folder = Path(job.runtime.output_dir)
    sweeping = job.mode == RunMode.MULTIRUN
    prepare_relaunch(job, overrides)
    command = shlex.join(["da", "train", *overrides])

    def run() -> dict[str, Any]:
        values = to_plain(config)
        refuse_secret_values(values)
        if (
            sweeping
            and values["trainer"]["devices"] != 1
            and "submitit" not in job.launcher._target_
        ):
            raise InputError(
                "trainer.devices: several devices need a process of their own for each job, which "
                "this launcher does not give: add hydra/launcher=local, or slurm on a cluster"
            )
        record = train(values, folder, command=command, choices=dict(job.runtime.choices))
        if record:
            write_card(record, folder)
        return record

    if sweeping:
        found = run_job(run, Path(job.sweep.dir), job.job.num, folder)
        return float(found["target"]["chosen"]["score"]) if found else None
    with exit_on_user_error():
        record = run()
    if not record:
        return None
    print_run(record, folder)
    return float(record["target"]["chosen"]["score"])


def evaluate_task(config: Any) -> float:
    """Scores the weights of a finished run."""
    from da_framework.cli.evaluate import main
    from da_framework.config.schema import to_plain

    with exit_on_user_error():
        return main(to_plain(config))


def predict_task(config: Any) -> None:
    """Writes what a finished run makes of new rows."""
    from da_framework.cli.predict import main
    from da_framework.config.schema import to_plain

    with exit_on_user_error():
        main(to_plain(config))


def export_task(config: Any) -> None:
    """Writes a finished run for other programs."""
    from da_framework.cli.export import main
    from da_framework.config.schema import to_plain

    with exit_on_user_error():
        main(to_plain(config))


def rank_task(config: Any) -> None:
    """Ranks finished runs by how well they suit a labelled target."""
    from da_framework.cli.rank import main
    from da_framework.config.schema import to_plain

    with exit_on_user_error():
        main(to_plain(config))


def check_task(config: Any) -> None:
    """Holds a method against its promises."""
    from da_framework.config.schema import to_plain
    from da_framework.training.method_check import main

    with exit_on_user_error():
        if not main(to_plain(config)):
            exit_with("a promise is broken", code=1)


def features_task(config: Any) -> None:
    """Computes what runs with this network and data will find."""
    from da_framework.config.schema import to_plain
    from da_framework.training.build import build

    with exit_on_user_error():
        values = to_plain(config)
        if not build(values).module.method.network.backbone_frozen:
            raise InputError(
                "no backbone is frozen, so nothing can be kept: network.freeze=backbone"
            )


def data_check_task(config: Any) -> None:
    """Looks at every row of a data set."""
    from da_framework.cli.data_check import main
    from da_framework.config.schema import to_plain

    with exit_on_user_error():
        if not main(to_plain(config)):
            exit_with("some of it is broken", code=1)


def prepare_relaunch(job: Any, overrides: list[str]) -> None:
    """Lets Lightning start further processes of this very job, not of the sweep it is part of."""
    import importlib.machinery

    from omegaconf import open_dict, read_write

    import __main__

    __main__.__spec__ = importlib.machinery.ModuleSpec("da_framework", None)
    sys.argv = ["da", "train", *overrides]
    with read_write(job), open_dict(job):
        job.run.dir = job.runtime.output_dir


def complete(arguments: list[str]) -> None:
    """Answers the shell: our commands for the first word, Hydra's completion behind it."""
    line = os.environ.get("COMP_LINE", "")
    words = line.split()[1:]
    command, rest = split_command([*words, ""])
    if command in HYDRA and (rest != [""] or line.endswith(" ")):
        cut = len(command) + 1
        os.environ["COMP_LINE"] = line.replace(f" {command}", "", 1)
        os.environ["COMP_POINT"] = str(int(os.environ.get("COMP_POINT", len(line))) - cut)
        run_hydra(command, arguments)
        return
    begun = line.partition(" ")[2]
    place = begun.count(" ")
    print("\n".join(name.split()[place] for name in COMMANDS if name.startswith(begun)))


def exit_with(message: str, *, code: int) -> NoReturn:
    """Ends with a message, said once however many processes train together."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(message, file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
