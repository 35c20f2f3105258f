"""``da list``: names, what they are and where they come from."""

import argparse

from da_framework.config.catalog import GROUPS, list_group, render_methods


def main(arguments: list[str]) -> None:
    """``da list [GROUP]``: names, what they are and where they come from."""
    parser = argparse.ArgumentParser(prog="da list", description=main.__doc__)
    parser.add_argument("group", nargs="?", choices=GROUPS)
    parser.add_argument("--markdown", action="store_true", help="the methods with their papers")
    parsed = parser.parse_args(arguments)
    if parsed.markdown:
        print(render_methods())
        return
    for group in [parsed.group] if parsed.group else GROUPS:
        print(f"{group}=")
        entries = list(list_group(group))
        width = max((len(name) for name, _, _ in entries), default=0)
        for name, summary, origin in entries:
            print(f"  {name:<{width}}  {summary}  [{origin}]")
        print()
