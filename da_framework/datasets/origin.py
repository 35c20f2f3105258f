"""Where a published data set comes from: fetched if that is possible, or told how."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from da_framework.core.errors import InputError
from da_framework.core.files import wait_for_lock
from da_framework.datasets.downloads import Remote, prepare


class Origin:
    """What a config says of the place where a data set is published.

    Args:
        address: the official page.
        hand: what to fetch there by hand and where to put it; ``{place}`` is the data set's folder.
        files: of each domain, what can be downloaded; of no domain, where it cannot.
        licence: of the data; records of before it was asked for have none.
    """

    def __init__(
        self,
        *,
        address: str,
        hand: str,
        files: dict[str, list[Remote]],
        licence: str = "not known",
    ) -> None:
        self.address = address
        self.hand = hand
        self.files = files
        self.licence = licence

    def fetch(
        self, place: Path, domains: Iterable[str], *, mirrors: Sequence[str], timeout: float
    ) -> None:
        """Downloads what domains need; of several processes one does, and the others find it.

        Raises:
            InputError: it cannot be had.
        """
        with wait_for_lock(place, "downloads"):
            for name in domains:
                for remote in self.files.get(name, []):
                    prepare(remote, place, mirrors=mirrors, timeout=timeout)

    def missing(self, place: Path, lacking: Sequence[str], *, about: str) -> InputError:
        """All that who has not got a data set must know.

        Args:
            place: its folder.
            lacking: what is missing there, a line each.
            about: what the data set is.
        """
        lines = [f"{place} lacks:", *(f"  {line}" for line in lacking), f"it should hold {about}"]
        lines += [f"official address: {self.address}", f"licence: {self.licence}"]
        remotes = {own["name"]: own for files in self.files.values() for own in files}
        lines += [f"  {described(own)}" for own in remotes.values()]
        if remotes:
            lines.append("dataset.download=true fetches and unpacks it")
        lines.append(f"by hand: {self.hand.format(place=place)}")
        lines.append(
            f"already have it? point dataset.data_dir or DA_DATA at the folder that holds "
            f"{place.name}/"
        )
        return InputError("\n".join(lines))


def described(remote: Remote) -> str:
    """A file, what is known of it, and where it is."""
    size, known = remote.get("size"), remote.get("hash")
    facts = [f"{size} bytes" if size else "", (known or "").replace(":", " ")]
    known_facts = ", ".join(filter(None, facts)) or "size and hash unknown"
    return f"{remote['name']} ({known_facts}): {' '.join(remote['urls']) or 'by hand'}"
