"""Texts as they may stand in a file that somebody opens in a spreadsheet."""

from __future__ import annotations

from typing import Final

_BEGINS_A_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def as_text(cell: str) -> str:
    """The text, with a mark before it where a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.startswith(_BEGINS_A_FORMULA) else cell
