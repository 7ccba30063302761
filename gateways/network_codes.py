"""The card networks' own answers: issuer response codes (ISO 8583 field 39) and merchant advice codes."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from rules.outcomes import DeclineClass, FailureClass

_TECHNICAL = DeclineClass.SOFT_TECHNICAL
_DATED = DeclineClass.SOFT_DATED
_GENERIC = DeclineClass.SOFT_GENERIC
_NEW_DATA = DeclineClass.NEW_DATA
_OTHER_WAY = DeclineClass.OTHER_WAY
_HARD = DeclineClass.HARD

SOFT: Final = frozenset({_TECHNICAL, _DATED, _GENERIC, DeclineClass.SOFT_UNLISTED})
"""The classes that a machine may try again."""


class Brand(StrEnum):
    """Only the brands whose advice codes differ."""

    VISA = "visa"
    MASTERCARD = "mastercard"
    OTHER = "other"


ISSUER_CODES: Final[dict[str, DeclineClass | FailureClass]] = {
    # Visa's decline categories (Checkout.com, TabaPay) and ISO 8583 meanings (Pagos, North); classes are ours.
    **dict.fromkeys(("19", "91", "96"), _TECHNICAL),
    **dict.fromkeys(("51", "61", "65", "N4"), _DATED),
    **dict.fromkeys(("05", "06"), _GENERIC),
    "92": DeclineClass.SOFT_UNLISTED,  # no route to the issuer: once
    **dict.fromkeys(("14", "15", "54", "79", "82", "N7"), _NEW_DATA),
    **dict.fromkeys(("01", "02", "55", "59", "62", "63", "70", "75", "78", "83", "86"), _OTHER_WAY),
    **dict.fromkeys(("1A", "6P", "Z5", "5C", "9G"), _OTHER_WAY),
    **dict.fromkeys(("04", "07", "12", "41", "43", "46", "57", "80", "93", "N3", "R0", "R1", "R3"), _HARD),
    "03": FailureClass.GATEWAY_SETUP,  # invalid merchant
    **dict.fromkeys(("13", "58"), FailureClass.REFUSED),
}
"""What an issuer's code means for another try. A code that is not listed decides nothing."""

_MASTERCARD_ADVICE: Final[dict[str, DeclineClass]] = {
    # Mastercard merchant advice codes (Braintree, EverOnet, Solidgate); 40, 41, 43 inform only.
    "01": _NEW_DATA,
    **dict.fromkeys(("02", "24", "25", "26", "27", "28", "29", "30"), _DATED),
    **dict.fromkeys(("04", "05", "22"), _OTHER_WAY),
    **dict.fromkeys(("03", "21", "42"), _HARD),
}
_VISA_ADVICE: Final[dict[str, DeclineClass]] = {
    # The same numbers, other meanings: stop this payment, this merchant's, all recurring ones (PayPal, advice codes).
    **dict.fromkeys(("02", "03", "21"), _HARD),
}
_ADVICE: Final = {Brand.MASTERCARD: _MASTERCARD_ADVICE, Brand.VISA: _VISA_ADVICE, Brand.OTHER: _VISA_ADVICE}

_COLLAPSED: Final = frozenset({"79", "82", "83"})
"""Mastercard puts these in place of the real code: the advice beside them decides alone."""


def brand_of(number: str) -> Brand:
    """The brand by the card number's first digits, as far as advice codes need it."""
    if number[:1] == "4":
        return Brand.VISA
    return Brand.MASTERCARD if number[:1] == "5" or "2221" <= number[:4] <= "2720" else Brand.OTHER


def decline_class(
    gateway_class: DeclineClass, issuer_code: str, advice: str, brand: Brand
) -> DeclineClass | FailureClass:
    """What a decline means for another try: the network's advice, before the issuer's code, before the gateway's own.

    A "do not retry" only makes a class harder; a "later" dates what was soft, and lifts nothing else.
    """
    found = ISSUER_CODES.get(issuer_code, gateway_class)
    if isinstance(found, FailureClass):
        return found if gateway_class in SOFT else gateway_class
    by_code = found if gateway_class in SOFT else _harder(found, gateway_class)
    advised = _ADVICE[brand].get(advice)
    if advised is None:
        return by_code
    if brand is Brand.MASTERCARD and issuer_code in _COLLAPSED:
        return _OTHER_WAY if (issuer_code, advice) == ("83", "01") else advised
    if advised in SOFT:
        return advised if by_code in SOFT else by_code
    return _harder(advised, by_code)


def _harder(first: DeclineClass, second: DeclineClass) -> DeclineClass:
    """The harder of two; the first where they are alike."""
    return second if _hardness(second) > _hardness(first) else first


def _hardness(decline: DeclineClass) -> int:
    return 0 if decline in SOFT else 2 if decline is _HARD else 1
