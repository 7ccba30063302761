"""One-time codes of a second factor (RFC 6238): six digits that change every thirty seconds, each taken once."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Final

from pyotp import TOTP

STEP_SECONDS: Final = 30
SLACK: Final = 1
"""So many steps a phone's clock may be ahead or behind."""
DIGITS: Final = 6


def step_of_code(secret: str, code: str, now: datetime, last_used: int | None) -> int | None:
    """The time step whose code this is; None where it is no code of about now.

    A step that is not later than the last one used gives nothing: a code that somebody looked over a shoulder is worth
    nothing once it was taken.
    """
    digits = "".join(code.split())
    if len(digits) != DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    totp = TOTP(secret, digits=DIGITS, interval=STEP_SECONDS)
    here = int(now.timestamp()) // STEP_SECONDS
    for step in range(here + SLACK, here - SLACK - 1, -1):
        later = last_used is None or step > last_used
        if later and hmac.compare_digest(totp.generate_otp(step), digits):
            return step
    return None


def address_of(secret: str, name: str, issuer: str) -> str:
    """What an authenticator reads from the picture."""
    return TOTP(secret, digits=DIGITS, interval=STEP_SECONDS).provisioning_uri(name=name, issuer_name=issuer)
