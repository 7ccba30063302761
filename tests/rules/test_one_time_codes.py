"""One-time codes: the vectors of RFC 6238, the slack for a phone's clock, each step once."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from rules.one_time_codes import address_of, step_of_code

SECRET = base64.b32encode(b"12345678901234567890").decode()
VECTORS = {59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037"}


@pytest.mark.parametrize(("seconds", "code"), VECTORS.items())
def test_vectors(seconds: int, code: str) -> None:
    """RFC 6238, appendix B: the last six digits of its SHA-1 vectors."""
    assert step_of_code(SECRET, code, datetime.fromtimestamp(seconds, UTC), None) == seconds // 30


@pytest.mark.parametrize(("off", "taken"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_slack(off: int, taken: bool) -> None:
    """A phone's clock may be one step ahead or behind, not two."""
    now = datetime.fromtimestamp(1111111109, UTC) + timedelta(seconds=off)
    assert (step_of_code(SECRET, "081804", now, None) is not None) is taken


@pytest.mark.parametrize(("last", "taken"), [(-1, True), (0, False), (1, False)])
def test_each_step_once(last: int, taken: bool) -> None:
    """A step that is not later than the last one used gives nothing."""
    step = 1111111109 // 30
    found = step_of_code(SECRET, "081804", datetime.fromtimestamp(1111111109, UTC), step + last)
    assert found == (step if taken else None)


@pytest.mark.parametrize("code", ["", "08180", "0818045", "08180x", "٠٨١٨٠٤", "081 80", "-81804"])
def test_no_codes(code: str) -> None:
    """Anything but six plain digits is no code; blanks between them count for nothing."""
    now = datetime.fromtimestamp(1111111109, UTC)
    assert step_of_code(SECRET, code, now, None) is None
    assert step_of_code(SECRET, "081 804 ", now, None) is not None


def test_address() -> None:
    """What the picture says: whose, of whom, by which secret."""
    address = address_of(SECRET, "ann@example", "Acme & Co")
    assert address.startswith("otpauth://totp/Acme%20%26%20Co:ann%40example?")
    assert f"secret={SECRET}" in address
