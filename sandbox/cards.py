"""Card numbers as the sandbox sees them: checks, a keyed hash in place of the number, and the test cards."""

import hashlib
from enum import StrEnum


class Issuer(StrEnum):
    """What the issuer of a test card says; each gateway puts it into its own codes."""

    APPROVES = "approves"
    DO_NOT_HONOUR = "do_not_honour"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    OVER_LIMIT = "over_limit"
    LOST = "lost"
    STOLEN = "stolen"
    EXPIRED = "expired"
    WRONG_CODE = "wrong_code"
    NO_SUCH_ACCOUNT = "no_such_account"
    CALL_ISSUER = "call_issuer"
    UNAVAILABLE = "unavailable"
    SILENT = "silent"
    FRAUD = "fraud"
    REVIEW = "review"


TEST_CARDS = {
    "4000000000000002": Issuer.DO_NOT_HONOUR,
    "4000000000009995": Issuer.INSUFFICIENT_FUNDS,
    "4000000000006975": Issuer.OVER_LIMIT,
    "4000000000009987": Issuer.LOST,
    "4000000000009979": Issuer.STOLEN,
    "4000000000000069": Issuer.EXPIRED,
    "4000000000000127": Issuer.WRONG_CODE,
    "4000000000000051": Issuer.NO_SUCH_ACCOUNT,
    "4000000000000101": Issuer.CALL_ISSUER,
    "4000000000000911": Issuer.UNAVAILABLE,
    "4000000000000119": Issuer.SILENT,
    "4100000000000019": Issuer.FRAUD,
    "4000000000009235": Issuer.REVIEW,
}
"""Numbers with a behaviour of their own; every other number that passes the Luhn check is approved."""

DECLINES_FIRST = "40000500000"
"""Numbers `40000500000` + n + three digits of one's choice + check digit: n declines for funds, then approved."""


def luhn_valid(number: str) -> bool:
    """Whether `number` (digits only) passes the Luhn check."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = ord(digit) - 48
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def acceptable(number: str) -> bool:
    """Whether `number` can be a card: 13 to 19 ASCII digits, Luhn, not all zeros."""
    return (
        12 < len(number) < 20
        and number.isascii()
        and number.isdigit()
        and luhn_valid(number)
        and number.strip("0") != ""
    )


def declines_first(number: str) -> int:
    """How many times a card declines before it approves (0 for every card outside that range)."""
    return int(number[11]) if len(number) == 16 and number.startswith(DECLINES_FIRST) else 0


def card_hash(number: str, salt: bytes) -> str:
    """What stands for the number in books and answers: a keyed hash, 16 hex digits."""
    return hashlib.blake2b(number.encode(), digest_size=8, key=salt).hexdigest()
