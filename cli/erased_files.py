"""Taking the personal data of erased customers out of archives, whose files are on this machine."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from books.archive import File
from books.erase import Whose
from cli.archive_files import MANIFEST, digest_of, read, to_disk
from rules.errors import DefrayError

_PRIVATE: Final = 0o600
_Change = Callable[[Any], Any]


def erase(folder: Path, files: list[File], whose: Whose) -> dict[str, str] | None:
    """Write the files of an archive anew that hold anything of these customers: the new SHA-256 by name.

    The manifest follows and is among them; what was rewritten before and not noted is noted now. None where the archive
    is not on this machine. Raises DefrayError where it cannot be written.
    """
    if not (folder / MANIFEST).is_file():
        return None
    try:
        touched = {one.name: digest_of(folder / one.name) for one in files if _rewrite(folder, one, whose)}
        if touched:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            for one in manifest["files"]:
                one["sha256"] = touched.get(one["name"], one["sha256"])
            with _in_place_of(folder / MANIFEST) as file:
                file.write((json.dumps(manifest, indent=1) + "\n").encode())
            touched[MANIFEST] = digest_of(folder / MANIFEST)
    except OSError as reason:
        raise DefrayError(f"An archive cannot be rewritten: {reason}.", "Put that right, and say it again.") from None
    return touched


def _rewrite(folder: Path, file: File, whose: Whose) -> bool:
    """Whether the file holds anything of them; their words are gone then."""
    path, change = folder / file.name, _CHANGES[file.of_table](whose)
    marked = [change(row) for row in read(path)]
    if not any(marked):
        return False
    rows = read(path)
    with _in_place_of(path) as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
        for row, changed in zip(rows, marked, strict=True):
            packed.write((json.dumps(changed or row, separators=(",", ":"), ensure_ascii=False) + "\n").encode())
    return True


def _of_events(whose: Whose) -> _Change:
    def change(row: Any) -> Any:
        mark = whose.customers.get(row["customer_id"]) or whose.payments.get(row["payment_id"])
        return mark and {**row, "why": row["why"] and mark, "details": None}

    return change


def _of_evidence(whose: Whose) -> _Change:
    def change(row: Any) -> Any:
        mark = whose.transactions.get(row["gateway_transaction_id"])
        return mark and {**row, "said": {"erased": mark}}

    return change


def _of_deliveries(whose: Whose) -> _Change:
    def change(row: Any) -> Any:
        mark = whose.payments.get(row["delivery"]["payment_id"])
        return mark and {**row, "attempts": [{**one, "said": ""} for one in row["attempts"]]}

    return change


_CHANGES: Final = {"events": _of_events, "evidence": _of_evidence, "webhook_deliveries": _of_deliveries}


@contextmanager
def _in_place_of(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the other's name when it is on the disk."""
    new = path.with_name(f"{path.name}.partial")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    to_disk(path.parent)
