"""A W&B server on the loopback, as small as its client bears, that can misbehave."""

import base64
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "k" * 40
"""A key of the right form."""


class Server(ThreadingHTTPServer):
    """What arrives, by run id.

    Attributes:
        runs: what each run was last said to be.
        lines: the history of each, by line number.
        resumed: how many lines a client was told that a run has, in order.
        files: names of the files uploaded.
        artifacts: what was created, with the aliases.
        ended: exit codes.
        key: the one that it takes.
        delay: seconds before every answer.
        lost: whether connections are closed without an answer.
        leaving: whether they are from when a run has begun.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.runs: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        self.resumed: list[int] = []
        self.files: set[str] = set()
        self.artifacts: list[dict[str, Any]] = []
        self.ended: dict[str, int] = {}
        self.key = KEY
        self.delay = 0.0
        self.awake = threading.Event()
        self.lost = False
        self.leaving = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of clients that go away."""

    def history(self, run: str) -> list[dict[str, Any]]:
        """Its rows in order."""
        return [row for _, row in sorted(self.lines[run].items())]

    def answer(self, query: str, values: dict[str, Any]) -> dict[str, Any]:
        """To a question in GraphQL, told by what it asks for."""
        actual = re.search(r"(?:query|mutation)\s+(\w+)", query)
        name = actual[1] if actual else ""
        project = {"id": "p", "name": values.get("project"), "entity": {"id": "e", "name": "user"}}
        if name == "UpsertBucket":
            run = str(values["name"])
            known = self.runs.setdefault(run, {})
            inserted = not known
            known |= {key: value for key, value in values.items() if value is not None}
            bucket = {
                "id": run,
                "name": run,
                "displayName": values.get("displayName"),
                "sweepName": None,
                "project": project,
                "historyLineCount": len(self.lines[run]),
            }
            return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}
        if name == "RunResumeStatus":
            run = values["name"]
            if run not in self.runs:
                return {"model": {"bucket": None, **project}}
            count = len(self.lines[run])
            self.resumed.append(count)
            last = self.history(run)[-1:]
            bucket = {
                "id": run,
                "name": run,
                "displayName": "",
                "config": self.runs[run].get("config") or "{}",
                "summaryMetrics": json.dumps(last[0] if last else {}),
                "historyLineCount": count,
                "logLineCount": 0,
                "eventsLineCount": 0,
                "historyTail": json.dumps([json.dumps(row) for row in last]),
                "eventsTail": "[]",
                "wandbConfig": '{"t": 1}',
                "tags": [],
            }
            return {"model": {"bucket": bucket, **project}}
        if name == "CreateRunFiles":
            files = [
                {"name": file, "uploadUrl": f"{self.address}/upload/{file}"}
                for file in values["files"]
            ]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        if name == "CreateArtifact":
            self.artifacts.append(values.get("input") or values)
            artifact = {
                "id": f"a{len(self.artifacts)}",
                "state": "COMMITTED",
                "artifactSequence": {"id": "s", "latestArtifact": None},
            }
            return {"createArtifact": {"artifact": artifact}}
        if name == "Viewer":
            return {"viewer": {"id": "u", "username": "user", "entity": "user", "flags": "{}"}}
        return {"project": None}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        self.reply()

    do_PUT = do_GET = do_POST  # noqa: N815

    def reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.awake.wait(self.server.delay)
        if self.server.lost:
            self.close_connection = True
            return
        if self.path.startswith("/upload/"):
            self.server.files.add(self.path.removeprefix("/upload/").partition("?")[0])
            self.send(200, b"")
            return
        if not self.allowed():
            self.send(401, b'{"errors": [{"message": "user is not logged in"}]}')
            return
        output = json.loads(body or b"{}")
        if self.path.endswith("/file_stream"):
            run = self.path.split("/")[-2]
            part = (output.get("files") or {}).get("wandb-history.jsonl")
            if part:
                for number, line in enumerate(part["content"], part["offset"]):
                    self.server.lines[run][number] = json.loads(line)
            if "exitcode" in output:
                self.server.ended[run] = output["exitcode"]
            self.send(200, b"{}")
            return
        answer = self.server.answer(output.get("query", ""), output.get("variables") or {})
        self.send(200, json.dumps({"data": answer}).encode())
        self.server.lost |= self.server.leaving and "upsertBucket" in answer

    def allowed(self) -> bool:
        word = self.headers.get("Authorization", "").removeprefix("Basic ")
        telemetry = self.path.startswith("/sdk/")
        return telemetry or base64.b64decode(word).decode().endswith(f":{self.server.key}")

    def send(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *message: object) -> None:
        """Nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    """A server that answers until the end."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.awake.set()
        server.shutdown()
        server.server_close()
        thread.join()
