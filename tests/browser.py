"""A real browser for tests of pages, where one is installed."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
browsing = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (apt: chromium-driver)"
)


class Browser:
    """A real Chromium, spoken to by the WebDriver protocol.

    Args:
        port: of chromedriver.
        profile: a folder of its own.
    """

    def __init__(self, port: int, profile: Path) -> None:
        self.root = f"http://127.0.0.1:{port}"
        flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-sync"
        flags += " disable-background-networking disable-component-update window-size=1500,1000"
        flags += " disable-dev-shm-usage"  # a container's shared memory may hold no page
        options = {
            "binary": CHROMIUM,
            "args": [*(f"--{word}" for word in flags.split()), f"--user-data-dir={profile}"],
        }
        asked = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self.ask("session", capabilities={"alwaysMatch": asked})
        self.root += f"/session/{session['sessionId']}"

    def ask(self, path: str, method: str = "POST", **body: Any) -> Any:
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(f"{self.root}/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path) -> None:
        self.ask("url", url=path.as_uri())

    def js(self, script: str) -> Any:
        return self.ask("execute/sync", script=f"return {script}", args=[])

    def texts(self, selector: str) -> list[str]:
        texts: list[str] = self.js(
            f"[...document.querySelectorAll({json.dumps(selector)})].map((n) => n.textContent)"
        )
        return texts

    def type(self, selector: str, text: str) -> None:
        (element,) = self.ask("element", using="css selector", value=selector).values()
        self.ask(f"element/{element}/value", text=text)

    def click(self, selector: str) -> None:
        (element,) = self.ask("element", using="css selector", value=selector).values()
        self.ask(f"element/{element}/click")

    def close(self) -> None:
        """Ends Chromium, which outlives its driver."""
        urllib.request.urlopen(urllib.request.Request(self.root, method="DELETE")).close()

    def complaints(self) -> list[Any]:
        """What the console holds."""
        messages: list[Any] = self.ask("se/log", type="browser")
        return messages


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([str(DRIVER), f"--port={port}"], env={**os.environ}, **silent) as driver:  # type: ignore[call-overload]
        try:
            until(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/status").close() or True)
            opened = Browser(port, tmp_path_factory.mktemp("profile"))
            try:
                yield opened
            finally:
                opened.close()
        finally:
            driver.terminate()


def until(attempt: Callable[[], Any], seconds: float = 20) -> Any:
    """What it returns once it neither fails nor returns nothing."""
    end = time.monotonic() + seconds
    while True:
        try:
            if result := attempt():
                return result
        except OSError:
            if time.monotonic() > end:
                raise
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
