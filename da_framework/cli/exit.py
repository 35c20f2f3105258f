"""How a command ends: a message and a code for what a person can mend, never a traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from da_framework.core.errors import CONTINUES, PreemptedError, exit_message, preempted_by


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Ends with one message for what a person can mend, not with a traceback."""
    try:
        yield
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt, PreemptedError) as error:
        if ending := exit_message(error):
            message, code = ending
            exit_with(message, code=code)
        raise


def raise_preempted(signal: str) -> None:
    """Ends the command where it is: what training would lose, it saves itself."""
    raise preempted_by(signal, CONTINUES)


def exit_with(message: str, *, code: int) -> NoReturn:
    """Ends with a message, said once however many processes train together."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(message, file=sys.stderr)
    raise SystemExit(code)
