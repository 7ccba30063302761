"""The files of an archive: gzip'd JSON lines, durable before anybody deletes what is in them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from books.archive import Chunk, File, runs
from rules.errors import DefrayError

ROWS_MAX: Final = 20_000
"""Rows of one file of events or evidence; deliveries go with their events."""
MANIFEST: Final = "manifest.json"

_PARTIAL: Final = ".partial"
_PRIVATE: Final = 0o600


@dataclass
class Writer:
    """Writes one table's files into a folder, a chunk at a time; `files` are those that are durable."""

    folder: Path
    table: str
    files: list[File] = field(default_factory=list)
    _rows: list[str] = field(default_factory=list)
    _ids: list[int] = field(default_factory=list)
    _payments: list[int] = field(default_factory=list)

    def write(self, chunk: Chunk) -> None:
        """Take a chunk; a file that is full is written."""
        self._rows += chunk.rows
        self._ids += chunk.ids
        self._payments += chunk.payments
        if len(self._rows) >= ROWS_MAX:
            self.flush()

    def flush(self) -> None:
        """Write what was taken since the last file."""
        if not self._rows:
            return
        name = f"{self.table}-{len(self.files) + 1:05}.jsonl.gz"
        path = self.folder / name
        with _made(path) as file:
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                packed.writelines(f"{row}\n".encode() for row in self._rows)
            os.fsync(file.fileno())
        ids, payments = runs(self._ids), runs(self._payments)
        rows, digest = len(self._rows), digest_of(path)
        self.files.append(File(name, self.table, rows, digest, ids[0][0], ids[-1][1], ids, payments))
        self._rows, self._ids, self._payments = [], [], []


def start(folder: Path, name: str) -> Path:
    """An empty folder for an archive that is being written. Raises DefrayError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{name}{_PARTIAL}"
        partial.mkdir(mode=0o700)
    except OSError as reason:
        raise DefrayError(f"{folder} cannot be written to: {reason}.", "Name another folder with --to.") from None
    return partial


def finish(partial: Path, facts: Mapping[str, Any], written: Sequence[File]) -> str:
    """Write the manifest, let all of it reach the disk, and give the folder its name; the manifest's SHA-256."""
    listed = [
        {
            "name": one.name,
            "table": one.of_table,
            "rows": one.rows,
            "sha256": one.sha256,
            "first_id": one.first_id,
            "last_id": one.last_id,
        }
        for one in written
    ]
    path = partial / MANIFEST
    with _made(path) as file:
        file.write((json.dumps({**facts, "files": listed}, indent=1) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())
    to_disk(partial)
    partial.rename(final_of(partial))
    to_disk(partial.parent)
    return digest_of(final_of(partial) / MANIFEST)


def final_of(partial: Path) -> Path:
    """What a partial folder is called in the end."""
    return partial.with_name(partial.name.removesuffix(_PARTIAL))


def discard(folder: Path, name: str) -> None:
    """Remove what was written of an archive that was cut off before anything was deleted."""
    for one in (folder / f"{name}{_PARTIAL}", folder / name):
        shutil.rmtree(one, ignore_errors=True)


def check(folder: Path, manifest_sha256: str | None, expected: Sequence[File]) -> None:
    """Raise DefrayError where a file of an archive is missing or is not as it was written."""
    wanted = [(MANIFEST, manifest_sha256), *((one.name, one.sha256) for one in expected)]
    for name, digest in wanted:
        path = folder / name
        try:
            found = digest_of(path)
        except OSError as reason:
            raise DefrayError(f"{path} cannot be read: {reason}.", _PUT_BACK) from None
        if found != digest:
            raise DefrayError(f"{path} is not as it was written.", _PUT_BACK)


_PUT_BACK: Final = "Put it back, and archive again: nothing more is deleted without it."


def read(path: Path) -> Iterator[Any]:
    """The rows of a file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def digest_of(path: Path) -> str:
    """SHA-256 in hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _made(path: Path) -> BinaryIO:
    """A new file that its owner alone can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb")


def to_disk(folder: Path) -> None:
    """Let the names in a folder reach the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
