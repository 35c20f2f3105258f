"""Files as others publish them: fetched, checked against their hash, unpacked within their folder.

What is begun under a hidden name and renamed when it is right is never half there.
"""

import hashlib
import logging
import os
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from gzip import BadGzipFile
from http.client import HTTPException
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from tempfile import mkdtemp
from typing import IO, Any, NotRequired
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from typing_extensions import TypedDict

from da_framework.core.errors import InputError, one_line
from da_framework.core.files import publish, sync_names
from da_framework.core.terminal import open_console
from da_framework.core.text import printable

log = logging.getLogger(__name__)

CHUNK_BYTES = 2**20
COMPLETE = 416
"""HTTP status for a range that begins at the end of the file: nothing is left to send."""
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")

_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, BadGzipFile, zlib.error, LZMAError),
    *(EOFError, RuntimeError, NotImplementedError),
)


class Remote(TypedDict):
    """A file that can be downloaded, as published.

    Attributes:
        name: under which it is kept.
        urls: where it is.
        size: in bytes, where it is known.
        hash: ``md5:...`` or ``sha256:...``, where it is known.
        unpacked: of an archive: the most bytes that it may expand to.
        gives: of an archive: the path that is there once it is unpacked.
    """

    name: str
    urls: list[str]
    size: NotRequired[int | None]
    hash: NotRequired[str | None]
    unpacked: NotRequired[int]
    gives: NotRequired[str]


def describe_remote(remote: Remote) -> str:
    """A file's name, what is known of it, and where it is, for a message."""
    size, known = remote.get("size"), remote.get("hash")
    facts = [f"{size} bytes" if size else "", (known or "").replace(":", " ")]
    known_facts = ", ".join(filter(None, facts)) or "size and hash unknown"
    return f"{remote['name']} ({known_facts}): {' '.join(remote['urls']) or 'by hand'}"


def prepare_file(remote: Remote, folder: Path, *, mirrors: Sequence[str], timeout: float) -> None:
    """Sees to it that a file, or what an archive holds, is in a folder.

    Raises:
        InputError: it cannot be had, is another, or leaves its folder.
    """
    if not (folder / remote.get("gives", remote["name"])).exists():
        file = download_file(remote, folder, mirrors=mirrors, timeout=timeout)
        if file.name.endswith(ARCHIVES):
            unpack_archive(file, folder, limit=remote["unpacked"])


def download_file(remote: Remote, folder: Path, *, mirrors: Sequence[str], timeout: float) -> Path:
    """Downloads a file, going on where an earlier attempt was cut off.

    Args:
        remote: what it is.
        folder: where it is put.
        mirrors: addresses of folders that are asked before the official ones.
        timeout: seconds that a server may be silent.

    Raises:
        InputError: no address gives the file as published.
    """
    name = remote["name"]
    file, partial = folder / name, folder / f".{name}.part"
    if file.is_file():
        return file
    folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    for url in [*(f"{mirror.rstrip('/')}/{name}" for mirror in mirrors), *remote["urls"]]:
        mismatch: str | None = "nothing"
        while mismatch:  # what was begun elsewhere, and is not the file, is begun anew
            begun = partial.is_file()
            try:
                receive_rest(url, partial, timeout)
            except (OSError, HTTPException, ValueError) as error:
                reasons.append(f"{url}: {one_line(error) or type(error).__name__}")
                break
            if mismatch := explain_mismatch(partial, remote):
                partial.unlink()
                if not begun:
                    reasons.append(f"{url}: {mismatch}")
                    break
        else:
            publish(partial, file)
            return file
    raise InputError(
        f"{name} could not be downloaded to {folder}; the same command goes on from what "
        "has come; dataset.mirrors=[https://...] names other addresses, or put the file "
        "there by hand",
        *(f"  {reason}" for reason in reasons or ["no address of it is known"]),
    )


def receive_rest(url: str, partial: Path, timeout: float) -> None:
    """Appends to a file the rest of what an address gives.

    Raises:
        OSError: the address does not answer, or stops in the middle.
    """
    while True:
        have = partial.stat().st_size if partial.is_file() else 0
        headers = {"User-Agent": "da_framework"} | ({"Range": f"bytes={have}-"} if have else {})
        try:
            reply = urlopen(Request(url, headers=headers), timeout=timeout)
        except HTTPError as error:
            if have and error.code == COMPLETE:
                return
            raise
        with reply:
            goes_on = str(reply.headers.get("Content-Range")).startswith(f"bytes {have}-")
            begun = have if goes_on else 0
            length = reply.headers.get("Content-Length")
            whole = None if length is None else begun + int(length)
            log.info("downloading %s%s", url, f", from byte {begun}" if begun else "")
            with partial.open("ab" if goes_on else "wb") as stream:
                copy_with_progress(reply, stream, partial.name[1:-5], begun, whole)
        came = partial.stat().st_size
        if whole is None or came >= whole:
            return
        if came <= have:
            raise OSError(f"it stopped after {came} of {whole} bytes")


def copy_with_progress(
    reply: Any, stream: IO[bytes], name: str, begun: int, whole: int | None
) -> None:
    """Copies a reply into a file, with a progress bar where there is a terminal."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(
        *columns, console=open_console(stderr=True), disable=not sys.stderr.isatty(), transient=True
    ) as bar:
        task = bar.add_task(printable(name), total=whole, completed=begun)
        try:
            while chunk := reply.read(CHUNK_BYTES):
                stream.write(chunk)
                bar.update(task, advance=len(chunk))
        except (HTTPException, ConnectionError):
            return  # the length says that there should be more


def explain_mismatch(file: Path, remote: Remote) -> str | None:
    """How a file differs from the published one, if it does."""
    size, wanted = remote.get("size"), remote.get("hash")
    if size is not None and file.stat().st_size != size:
        return f"it has {file.stat().st_size} bytes, the published file {size}"
    if wanted is None:
        log.warning("%s: its hash is not known; it has the size that was announced", remote["name"])
        return None
    kind, _, digest = wanted.partition(":")
    with file.open("rb") as stream:
        received = hashlib.file_digest(stream, kind).hexdigest()
    if received == digest:
        return None
    return f"its {kind} is {received}, the published file's {digest}"


def unpack_archive(archive: Path, folder: Path, *, limit: int) -> None:
    """Unpacks a zip or tar beside itself: whole, or not at all.

    Args:
        archive: the file.
        folder: of what it holds; what is there already stays.
        limit: the most bytes that it may expand to.

    Raises:
        InputError: it is damaged, too large, or has members that are links or leave the folder.
    """
    log.info("unpacking %s", archive.name)
    aside = Path(mkdtemp(prefix=f".{archive.name}.", dir=folder))
    written = 0
    try:
        for name, stream in iterate_members(archive):
            path = aside / safe_path(name, archive)
            path.parent.mkdir(parents=True, exist_ok=True)
            with stream, path.open("xb") as out:
                while chunk := stream.read(CHUNK_BYTES):
                    written += len(chunk)
                    if written > limit:
                        raise InputError(
                            f"{archive} expands to more than the {limit} bytes it should: refused, "
                            "remove it"
                        )
                    out.write(chunk)
        os.sync()  # of thousands of small files, far sooner than one by one
        for entry in sorted(aside.iterdir()):
            if not (folder / entry.name).exists():
                os.replace(entry, folder / entry.name)
        sync_names(folder)
    except _DAMAGED as error:
        raise InputError(
            f"{archive} is damaged ({one_line(error)}): remove it and fetch it again"
        ) from None
    finally:
        shutil.rmtree(aside)


def iterate_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Names and contents of the files in an archive.

    Raises:
        InputError: something in it is no plain file.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise refuse_member(archive, info.filename, "is a link")
                if not info.is_dir():
                    yield info.filename, packed.open(info)
        return
    with tarfile.open(archive) as tape:
        for member in tape:
            if member.isdir():
                continue
            content = tape.extractfile(member) if member.isfile() else None
            if content is None:
                raise refuse_member(archive, member.name, "is a link or a device")
            yield member.name, content
        while tape.fileobj and tape.fileobj.read(CHUNK_BYTES):
            pass  # to the end, where the checksum stands


def safe_path(name: str, archive: Path) -> PurePosixPath:
    """A member's path, which does not leave the folder on any system.

    Raises:
        InputError: it would.
    """
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if posix.is_absolute() or windows.anchor or ".." in (*posix.parts, *windows.parts):
        raise refuse_member(archive, name, "leaves the folder")
    return posix


def refuse_member(archive: Path, member: str, why: str) -> InputError:
    """The error for an archive with such a member, of which nothing is kept."""
    return InputError(f"{archive}: its member {member!r} {why}: refused, remove it")
