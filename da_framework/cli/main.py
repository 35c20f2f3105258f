"""``da``: one word for what to do, Hydra's overrides for how.

Nothing heavy is imported here: help, listings and completion answer at once.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import NamedTuple

from da_framework.cli.exit import exit_on_user_error, exit_with, raise_preempted
from da_framework.cli.plugin_commands import find_commands, render_commands
from da_framework.cli.secrets import refuse_secrets
from da_framework.cli.streams import prepare_streams
from da_framework.core.signals import handle_signals
from da_framework.core.terminal import clean_output
from da_framework.core.text import wrap_line


class Command(NamedTuple):
    """A command: a module with a function ``main``.

    Attributes:
        module: whose ``main`` is given the arguments, or, where Hydra runs it, the composed config.
        help: what it does, in a line.
        hydra: whether its arguments are Hydra's; its config is then ``conf/<name>.yaml``.
    """

    module: str
    help: str
    hydra: bool = False

    @property
    def composes(self) -> bool:
        """Whether a config is made of its arguments, by it or by what it runs."""
        return self.hydra or self.module in ("search", "reproduce")


COMMANDS = {
    "train": Command("train", "train a method, or a sweep with -m", hydra=True),
    "search": Command("search", "the best values of keys by trial: da search method=dann,mmd"),
    "evaluate": Command(
        "evaluate", "score a finished run's weights: da evaluate run=...", hydra=True
    ),
    "predict": Command(
        "predict",
        "classes of new samples, without labels: da predict run=... dataset.root=...",
        hydra=True,
    ),
    "stream": Command(
        "stream",
        "adapt while the target passes once, batch by batch: da stream run=... stream_method=tent",
        hydra=True,
    ),
    "export": Command(
        "export",
        "a finished run for other programs, by torch.export and ONNX: da export run=...",
        hydra=True,
    ),
    "rank": Command(
        "rank", "which finished run suits a new task best: da rank run=[...]", hydra=True
    ),
    "check": Command(
        "check", "hold a method against what it must do: da check method=...", hydra=True
    ),
    "features": Command(
        "features",
        "compute a frozen backbone's features ahead: da features network.freeze=backbone",
        hydra=True,
    ),
    "data check": Command(
        "data_check",
        "read all of a data set once, and say what is wrong: da data check dataset=...",
        hydra=True,
    ),
    "audit": Command(
        "audit",
        "which of several runs is better on a target, by a few labels: da audit run=[...]",
        hydra=True,
    ),
    "shift": Command(
        "shift", "do source and target differ, and how, before training: da shift", hydra=True
    ),
    "reproduce": Command("reproduce", "a paper's table beside our numbers: da reproduce --list"),
    "report": Command("report", "a table of finished runs: da report FOLDER ..."),
    "doctor": Command("doctor", "did a finished run align its domains, and what to try: da doctor"),
    "sync": Command("sync", "send runs to W&B or MLflow that were offline: da sync FOLDER ..."),
    "list": Command("list", "what there is to choose from"),
    "new-method": Command(
        "new_method", "the files to begin a method with, here or in a package of its own"
    ),
}
"""Every command, in the order of the help; its module is in this package."""

COLUMN = 14
"""Where the help of a command begins."""
FIRST_STEPS = (
    "`da train --help` lists the keys of training; `da train` alone is a first run; `da --version`."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command.

    Ends with 2 for what a person can mend, 3 for a run that diverged, 130 after Ctrl-C and 75 after
    another signal, or when one of several processes was lost: the same command continues.
    """
    prepare_streams()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["-sc"]:
        complete(arguments)
        return
    with clean_output():
        answer(*split_command(arguments or ["--help"]))


def answer(name: str, rest: list[str]) -> None:
    """Runs a command, or says what there is."""
    if name in ("-h", "--help"):
        print(render_usage())
        return
    if name == "--version":
        print_version()
        return
    run: Callable[[list[str]], None] = partial(run_command, name)
    if name not in COMMANDS:
        theirs, _ = find_commands(COMMANDS)
        if name not in theirs:
            from difflib import get_close_matches

            near = get_close_matches(name, [*COMMANDS, *theirs])
            hint = f"; did you mean da {' or da '.join(near)}?" if near else ""
            exit_with(f"{name!r} is no command{hint}\n\n{render_usage()}", code=2)
        run = theirs[name].run
    try:
        os.getcwd()
    except OSError:
        exit_with("the working folder has been deleted: change into one that is there", code=2)
    logging.raiseExceptions = False  # a log that cannot be written to is no reason to say so
    with exit_on_user_error(), handle_signals(raise_preempted):
        refuse_secrets(rest, composes=name in COMMANDS and COMMANDS[name].composes)
        run(rest)


def render_usage() -> str:
    """Every command with what it does; what is wrong with commands of packages is printed."""
    from da_framework.cli.help import output_width

    theirs, wrong = find_commands(COMMANDS)
    for line in wrong:
        print(line, file=sys.stderr)
    width = output_width()
    ours = (f"  {name:<{COLUMN - 2}}{command.help}" for name, command in COMMANDS.items())
    return "\n".join(
        [
            "usage: da COMMAND [key=value ...]",
            "",
            *(wrapped for line in ours for wrapped in wrap_line(line, width, indent=COLUMN)),
            *(
                wrapped
                for line in render_commands(theirs)
                for wrapped in wrap_line(line, width, indent=COLUMN)
            ),
            "",
            *wrap_line(FIRST_STEPS, width),
            "",
        ]
    )


def run_command(name: str, rest: list[str]) -> None:
    """Hands the arguments to the command, or to Hydra, which hands it the config."""
    command = COMMANDS[name]
    if command.hydra and {"-h", "--help"} & {*rest}:
        from da_framework.cli.help import print_help

        print_help(name, rest)
    elif command.hydra:
        from da_framework.cli.hydra_app import run_hydra

        run_hydra(name, command.module, rest)
    else:
        import_module(f"da_framework.cli.{command.module}").main(rest)


def split_command(arguments: list[str]) -> tuple[str, list[str]]:
    """The command, which may be of two words, and what follows."""
    two = " ".join(arguments[:2])
    return (two, arguments[2:]) if two in COMMANDS else (arguments[0], arguments[1:])


def print_version() -> None:
    """Prints the version of the package, and of the Python that runs it."""
    import platform

    import da_framework

    print(f"da_framework {da_framework.__version__} (Python {platform.python_version()})")


def complete(arguments: list[str]) -> None:
    """Answers the shell: our commands for the first word; keys, names, paths or options behind."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()[1:]
    name, rest = split_command([*typed, ""])
    behind = name in COMMANDS and (rest != [""] or line.endswith(" "))
    word = "" if line.endswith(" ") or not typed else typed[-1]
    if behind:
        from da_framework.cli.completion import complete_options, complete_paths

        command = COMMANDS[name]
        own = complete_paths(word) if command.hydra else complete_options(command.module, word)
        if offered := list(own):
            print("\n".join(offered))
            return
    if behind and COMMANDS[name].hydra:
        cut = len(name) + 1
        os.environ["COMP_LINE"] = line.replace(f" {name}", "", 1)
        os.environ["COMP_POINT"] = str(int(os.environ.get("COMP_POINT", len(line))) - cut)
        run_command(name, arguments)
        return
    begun = line.partition(" ")[2]
    place = begun.count(" ")
    names = [*COMMANDS, *find_commands(COMMANDS)[0]]
    print("\n".join(known.split()[place] for known in names if known.startswith(begun)))


if __name__ == "__main__":
    main()
