"""Payflow's replies."""

from __future__ import annotations

import re

from tests.fuzz.replies import check_replies

_IDS = {"sale": "A10A7C3E51D2", "authorization": "A10A7C3E51D2", "refund": "A10A7C3E51D3"}


def check(data: bytes) -> None:
    """E3: an approval needs the result 0, of the call or of the one that was asked for."""
    check_replies("payflow", data, lambda text: bool(re.search(r"RESULT(\[1])?=0(&|\s*$)", text)), _IDS)
