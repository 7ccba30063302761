"""Texts as they may stand in a file that somebody opens in a spreadsheet."""

from __future__ import annotations

import re
from typing import Final

# Where the country writes its decimals with a comma, a spreadsheet parts cells at semicolons, whatever is quoted.
_BEFORE_A_FORMULA: Final = re.compile(r"(?:^|(?<=[;|\t\r\n]))(?=[ \u00a0]*[=+\-@＝＋－＠])|^(?=[\t\r\n])")


def as_text(cell: str) -> str:
    """The text, with a mark before whatever a spreadsheet would take for a formula."""
    return _BEFORE_A_FORMULA.sub("'", cell)
