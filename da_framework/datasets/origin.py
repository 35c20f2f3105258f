"""Where a published data set comes from: fetched if that is possible, or told how."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from da_framework.core.errors import InputError
from da_framework.core.files import wait_for_lock
from da_framework.datasets.downloads import Remote, describe_remote, prepare_file


class Origin:
    """Where a published data set comes from, as its config says.

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
                    prepare_file(remote, place, mirrors=mirrors, timeout=timeout)

    def missing(self, place: Path, lacking: Sequence[str], *, about: str) -> InputError:
        """All that someone who does not have a data set must know, as an error.

        Args:
            place: its folder.
            lacking: what is missing there, a line each.
            about: what the data set is.
        """
        lines = [f"{place} lacks:", *(f"  {line}" for line in lacking), f"it should hold {about}"]
        lines += [f"official address: {self.address}", f"licence: {self.licence}"]
        remotes = {remote["name"]: remote for files in self.files.values() for remote in files}
        lines += [f"  {describe_remote(remote)}" for remote in remotes.values()]
        if remotes:
            lines.append("dataset.download=true fetches and unpacks it")
        lines.append(f"by hand: {self.hand.format(place=place)}")
        lines.append(
            f"already have it? point dataset.data_dir or DA_DATA at the folder that holds "
            f"{place.name}/"
        )
        return InputError(*lines)
