"""What W&B's client has written to the files of a run, read without it."""

import json
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


Record: Any = vars(wandb_internal_pb2)["Record"]
"""One entry of such a file; its class is made when the module is imported."""


def records(file: Path) -> Iterator[Any]:
    """What an offline run holds: LevelDB's log format under a header of seven bytes."""
    data, position, whole = file.read_bytes(), HEADER, b""
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left  # padding
            continue
        checksum, length, kind = struct.unpack_from("<IHB", data, position)
        piece = data[position + HEADER : position + HEADER + length]
        if len(piece) < length:
            return  # a short tail
        assert checksum == zlib.crc32(bytes([kind]) + piece) & 0xFFFFFFFF
        position += HEADER + length
        whole = piece if kind in (FULL, FIRST) else whole + piece
        if kind in (FULL, LAST):
            record = Record()
            record.ParseFromString(whole)
            yield record


def pieces(folder: Path) -> list[Path]:
    """The files of a run, as they were begun: one, or more if it was continued."""
    all_records = folder.glob("wandb/*run-*/run-*.wandb")
    return sorted(all_records, key=lambda file: file.parent.name.removeprefix("offline-"))


def offline_run(folder: Path) -> list[Any]:
    """The whole run, which was offline from its start to its end."""
    (file,) = pieces(folder)
    assert file.parent.name.startswith("offline-run-")
    return whole(file)


def whole(file: Path) -> list[Any]:
    """A piece to its end: the client's own process may write after ``finish`` has returned."""
    deadline = time.monotonic() + 20
    all_records = list(records(file))
    while not of(all_records, "exit"):
        assert time.monotonic() < deadline, "the run never ended"
        time.sleep(0.05)
        all_records = list(records(file))
    return all_records


def figures(all_records: list[Any]) -> list[dict[str, Any]]:
    """The rows of the history."""
    return [
        {
            item.key or ".".join(item.nested_key): json.loads(item.value_json)
            for item in own.history.item
        }
        for own in all_records
        if own.WhichOneof("record_type") == "history"
    ]


def settings(all_records: list[Any]) -> dict[str, Any]:
    """The config, as last updated."""
    known: dict[str, Any] = {}
    for record in all_records:
        kind = record.WhichOneof("record_type")
        if kind in ("run", "config"):
            update = record.run.config.update if kind == "run" else record.config.update
            known |= {item.key: json.loads(item.value_json) for item in update if item.key}
    return known


def of(all_records: list[Any], kind: str) -> list[Any]:
    """The records of a kind."""
    return [getattr(own, kind) for own in all_records if own.WhichOneof("record_type") == kind]


def summary(all_records: list[Any]) -> dict[str, Any]:
    """The last value of every figure."""
    return {
        item.key or ".".join(item.nested_key): json.loads(item.value_json)
        for own in of(all_records, "summary")
        for item in own.update
    }
