"""Downloads from a server of our own, and archives that mean harm."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from da_framework.core.errors import InputError
from da_framework.datasets.downloads import Remote, download_file, prepare_file, unpack_archive

CONTENT = bytes(range(256)) * 40


class Server(SimpleHTTPRequestHandler):
    """Files, with ranges; it may break off in the middle.

    Attributes:
        asked: what was asked for, with the range.
        breaks: how many bytes a reply may have; and how many replies are so cut.
    """

    asked: list[tuple[str, str | None]]
    breaks: list[int]
    ranges = True

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append((self.path, wanted))
        file = Path(self.directory) / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_bytes()
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            last = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = self.breaks.pop(0) if self.breaks else len(content)
        self.wfile.write(content[start : start + cut])
        self.close_connection = True


class Mirror:
    """A server and its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str | None]] = []
        self.breaks: list[int] = []
        self.handler = type("Own", (Server,), {"asked": self.asked, "breaks": self.breaks})
        self.server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(self.handler, directory=str(folder))
        )
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def remote(self, name: str = "data.bin", **keys: Any) -> Remote:
        sha256 = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
        urls = [f"{self.address}/{name}"]
        given: Any = {"name": name, "urls": urls, "hash": f"sha256:{sha256}"} | keys
        return cast("Remote", given)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "data.bin").write_bytes(CONTENT)
    mirror = Mirror(tmp_path / "served")
    thread = threading.Thread(target=mirror.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield mirror
    mirror.server.shutdown()
    mirror.server.server_close()
    thread.join()


def get(remote: Remote, folder: Path, *mirrors: str, timeout: float = 5.0) -> Path:
    return download_file(remote, folder, mirrors=mirrors, timeout=timeout)


def test_a_file_is_fetched_once_and_hashed(mirror: Mirror, tmp_path: Path) -> None:
    for _ in range(2):
        assert get(mirror.remote(), tmp_path / "new").read_bytes() == CONTENT
    assert mirror.asked == [("/data.bin", None)]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["data.bin"]


def test_a_download_that_breaks_off_goes_on_where_it_was(mirror: Mirror, tmp_path: Path) -> None:
    mirror.breaks += [1000, 2000]
    assert get(mirror.remote(), tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in mirror.asked] == [None, "bytes=1000-", "bytes=3000-"]


def test_a_later_command_goes_on_as_well(mirror: Mirror, tmp_path: Path) -> None:
    mirror.breaks += [1000, 0]
    with pytest.raises(InputError, match=r"stopped after 1000 of 10240 bytes"):
        get(mirror.remote(), tmp_path)
    assert not (tmp_path / "data.bin").exists()
    assert get(mirror.remote(), tmp_path).read_bytes() == CONTENT
    assert mirror.asked[-1] == ("/data.bin", "bytes=1000-")


def test_a_server_without_ranges_begins_anew(mirror: Mirror, tmp_path: Path) -> None:
    mirror.handler.ranges = False  # type: ignore[attr-defined]
    (tmp_path / ".data.bin.part").write_bytes(CONTENT[:100])
    assert get(mirror.remote(), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("length", [100, len(CONTENT), len(CONTENT) + 5])
def test_what_was_begun_of_another_file_is_thrown_away(
    mirror: Mirror, tmp_path: Path, length: int
) -> None:
    (tmp_path / ".data.bin.part").write_bytes(bytes(length))
    assert get(mirror.remote(), tmp_path).read_bytes() == CONTENT


def test_mirrors_are_asked_first_and_a_wrong_one_is_passed_over(
    mirror: Mirror, tmp_path: Path
) -> None:
    remote = mirror.remote(urls=["http://127.0.0.1:9/data.bin"])
    (mirror.folder / "other").mkdir()
    (mirror.folder / "other" / "data.bin").write_bytes(b"another")
    file = get(remote, tmp_path, f"{mirror.address}/other/", mirror.address)
    assert file.read_bytes() == CONTENT
    assert [path for path, _ in mirror.asked] == ["/other/data.bin", "/data.bin"]


def test_what_cannot_be_had_is_said_with_every_address(mirror: Mirror, tmp_path: Path) -> None:
    wrong = mirror.remote(hash="md5:00", urls=["http://127.0.0.1:9/x", f"{mirror.address}/no"])
    with pytest.raises(InputError, match="could not be downloaded") as error:
        get(wrong, tmp_path, mirror.address)
    for part in ("its md5 is", "127.0.0.1:9/x: ", "404", "dataset.mirrors="):
        assert part in str(error.value)
    with pytest.raises(InputError, match="it has 10240 bytes, the published file 7"):
        get(mirror.remote(size=7), tmp_path)
    assert not list(tmp_path.glob("*data.bin*"))


def test_a_silent_server_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/data.bin"
        with pytest.raises(InputError, match="timed out"):
            get({"name": "data.bin", "urls": [url]}, tmp_path, timeout=0.1)


def zipped(path: Path, members: dict[str, bytes], link: bool = False) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o120777 if link else 0o100644) << 16
            archive.writestr(info, content)
    return path


def taped(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = "/etc/passwd"
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("pack", [zipped, taped])
def test_an_archive_is_unpacked_beside_what_is_there(pack: Any, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "own").write_text("mine")
    members = {"a/one é.txt": b"1", "a/deep/two": b"2", "b/three": b"3"}
    unpack_archive(pack(tmp_path / "x.zip", members), tmp_path, limit=3)
    assert (tmp_path / "a" / "one é.txt").read_bytes() == b"1"
    assert (tmp_path / "a" / "deep" / "two").read_bytes() == b"2"
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["own"]


HARM = ("../out", "/tmp/out", "a/../../out", "C:\\out", "..\\out", "\\\\host\\out")


@pytest.mark.parametrize("pack", [zipped, taped])
@pytest.mark.parametrize("name", HARM)
def test_members_that_leave_the_folder_are_refused(pack: Any, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    archive = pack(tmp_path / "x.tar.gz", {"good/a": b"1", name: b"2"})
    with pytest.raises(InputError, match="leaves the folder: refused"):
        unpack_archive(archive, folder, limit=100)
    assert not list(folder.iterdir())
    assert [path.name for path in tmp_path.iterdir() if path != folder] == [archive.name]


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    archives = [zipped(tmp_path / "x.zip", {"a/link": b"/etc/passwd"}, link=True)]
    for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)):
        archives.append(taped(tmp_path / f"{number}.tar.gz", {"a/link": b""}, kind))
    for archive in archives:
        with pytest.raises(InputError, match="is a link"):
            unpack_archive(archive, tmp_path, limit=100)
    assert not [path for path in tmp_path.iterdir() if path not in archives]


@pytest.mark.parametrize("pack", [zipped, taped])
def test_an_archive_that_expands_beyond_its_size_is_refused(pack: Any, tmp_path: Path) -> None:
    archive = pack(tmp_path / "bomb.zip", {"a/zeros": bytes(10**7), "a/more": bytes(10**7)})
    assert archive.stat().st_size < 10**5
    with pytest.raises(InputError, match="expands to more than the 15000000 bytes"):
        unpack_archive(archive, tmp_path, limit=15 * 10**6)
    assert [path.name for path in tmp_path.iterdir()] == ["bomb.zip"]
    unpack_archive(archive, tmp_path, limit=2 * 10**7)


@pytest.mark.parametrize("pack", [zipped, taped])
def test_a_damaged_archive_is_said(pack: Any, tmp_path: Path) -> None:
    archive = pack(tmp_path / "x.zip", {"a/b": os.urandom(5000), "a/c": os.urandom(5000)})
    whole = archive.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:900] + bytes(500) + whole[1400:], b"no"):
        archive.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.zip is damaged"):
            unpack_archive(archive, tmp_path, limit=10**6)
        assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_an_archive_is_prepared_until_what_it_gives_is_there(
    mirror: Mirror, tmp_path: Path
) -> None:
    zipped(mirror.folder / "a.zip", {"a/b": b"1"})
    remote = mirror.remote("a.zip", unpacked=1, gives="a")
    for _ in range(2):
        prepare_file(remote, tmp_path, mirrors=[], timeout=5.0)
    assert (tmp_path / "a" / "b").read_bytes() == b"1"
    assert len(mirror.asked) == 1


def test_two_processes_prepare_the_same_set_at_once(mirror: Mirror, tmp_path: Path) -> None:
    zipped(mirror.folder / "a.zip", {f"a/{n}": os.urandom(1000) for n in range(200)})
    remote = mirror.remote("a.zip", unpacked=200_000, gives="a")
    code = (
        "import sys, time, pathlib\n"
        "from da_framework.datasets.origin import Origin\n"
        f"origin = Origin(address='', hand='', files={{'a': [{remote!r}]}})\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "origin.fetch(pathlib.Path(sys.argv[1]), ['a'], mirrors=[], timeout=5.0)\n"
        "print(len(list((pathlib.Path(sys.argv[1]) / 'a').iterdir())))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "set")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in both] == ["200\n", "200\n"]
    assert len(mirror.asked) == 1
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == [".lock", "a", "a.zip"]
