"""A bank's file, BAI2 or camt: bytes in, a `BankFile` out. Docs: docs/import-export.md."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from reports import bank_bai2, bank_camt
from rules.errors import DefrayError
from rules.remittance import BankFile

SIZE_MAX: Final = 64 << 20
"""Bytes of a file; banks send days, not years."""


def read(path: Path) -> BankFile:
    """What the file says. Raises DefrayError, RequestRefused where it is no such file, or a damaged one."""
    size = path.stat().st_size
    if size > SIZE_MAX:
        raise DefrayError(f"{path.name} has {size:,} bytes.", f"Hand in files of {SIZE_MAX:,} bytes at most.")
    content = path.read_bytes()
    begins = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:3]
    if begins.startswith(b"<"):
        return bank_camt.read(content)
    if begins == b"01,":
        return bank_bai2.read(content)
    raise DefrayError(
        f"{path.name} is neither BAI2 nor camt.", "Ask the bank for BAI2 (it begins with 01,) or camt.054 or camt.053."
    )
