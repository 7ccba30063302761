"""What the issuer's own answer says about another try: response codes as ISO 8583 field 39 has them.

The network's advice codes are not read here: `Declined.advice` carries them raw, and `rules.retry` reads them.
"""

from __future__ import annotations

from typing import Final

from rules.outcomes import DeclineClass, FailureClass

# Meanings: Pagos, North; never-again codes: Visa's decline categories as Checkout.com and TabaPay list them.
ISSUER_CODES: Final[dict[str, DeclineClass | FailureClass]] = {
    **dict.fromkeys(("19", "28", "91", "96"), DeclineClass.SOFT_TECHNICAL),
    **dict.fromkeys(("51", "61", "65", "N4"), DeclineClass.SOFT_DATED),
    **dict.fromkeys(("05", "06"), DeclineClass.SOFT_GENERIC),
    "92": DeclineClass.SOFT_UNLISTED,  # no route to the issuer: once more
    **dict.fromkeys(("14", "15", "54", "79", "82", "N7"), DeclineClass.NEW_DATA),
    **dict.fromkeys("01 02 55 59 62 63 70 75 78 83 86 1A 6P Z5 5C 9G".split(), DeclineClass.OTHER_WAY),
    **dict.fromkeys("04 07 12 41 43 46 57 80 93 N3 R0 R1 R3".split(), DeclineClass.HARD),
    "03": FailureClass.GATEWAY_SETUP,  # invalid merchant
    **dict.fromkeys(("13", "58"), FailureClass.REFUSED),  # invalid amount, not permitted to the terminal
}
"""A code that is not listed decides nothing."""

SOFT: Final = frozenset(
    {
        DeclineClass.SOFT_TECHNICAL,
        DeclineClass.SOFT_DATED,
        DeclineClass.SOFT_GENERIC,
        DeclineClass.SOFT_UNLISTED,
    }
)
"""The classes that a machine may try again."""


def refined(by_gateway: DeclineClass, issuer_code: str) -> DeclineClass | FailureClass:
    """The class of a decline: the issuer's code goes before the gateway's own, but softens nothing."""
    by_issuer = ISSUER_CODES.get(issuer_code, by_gateway)
    if by_gateway in SOFT or by_issuer is DeclineClass.HARD:
        return by_issuer
    return by_gateway
