"""The options of commands that Hydra does not run: to a mistyped one, the nearest is said."""

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn


class ArgumentParser(argparse.ArgumentParser):
    """Reads the arguments of a command; to an unknown option it says the nearest that there is."""

    def parse_args(self, args: Sequence[str], namespace: Any = None) -> Any:  # type: ignore[override]
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.refuse(unknown)
        return parsed

    def parse_intermixed_args(  # type: ignore[override]
        self, args: Sequence[str], namespace: Any = None
    ) -> Any:
        parsed, unknown = self.parse_known_intermixed_args(args, namespace)
        if unknown:
            self.refuse(unknown)
        return parsed

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Ends with the options that there are not, each with the nearest that there is."""
        known = [option for action in self._actions for option in action.option_strings]
        reasons = []
        for word in unknown:
            option = word.partition("=")[0]
            near = get_close_matches(option, known, n=1) if option.startswith("-") else []
            reasons.append(f"{word} (did you mean {near[0]}?)" if near else word)
        self.error(f"unrecognized arguments: {' '.join(reasons)}")
