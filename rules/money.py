"""Money: integer minor units with an ISO 4217 currency (R14: no currency ever meets another)."""

from __future__ import annotations

import re
from typing import Final

from rules.errors import Fault, shown

# ISO 4217, active currencies for payments; funds, metals and test codes are left out.
_TWO_DECIMALS = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP
CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK
NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB
TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
""".split()
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split()
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND".split()

EXPONENTS: Final[dict[str, int]] = (
    dict.fromkeys(_TWO_DECIMALS, 2) | dict.fromkeys(_NO_DECIMALS, 0) | dict.fromkeys(_THREE_DECIMALS, 3)
)
"""Decimal places of each currency."""

AMOUNT_MINOR_MAX: Final = 10**12
"""Ceiling of one amount (B30): far above any invoice, far below what a sum of many could overflow."""

_DECIMAL = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,6}))?")


def check_currency(code: object, field: str = "currency") -> str | Fault:
    """The currency's code, or what is wrong with it."""
    if isinstance(code, str) and code in EXPONENTS:
        return code
    return Fault(field, shown(code), "not a currency in use", "Give an ISO 4217 code in capitals, such as USD")


def check_minor(amount: object, field: str = "amount_minor") -> int | Fault:
    """An amount in minor units as an integer: 1 to AMOUNT_MINOR_MAX; a float or a bool is refused (B26, B30)."""
    if not isinstance(amount, int) or isinstance(amount, bool):
        return Fault(
            field,
            shown(amount),
            "not a whole number of minor units",
            "Give cents as an integer, 1250 for 12.50",
        )
    if not 0 < amount <= AMOUNT_MINOR_MAX:
        return Fault(field, shown(amount), "out of range", f"Give 1 to {AMOUNT_MINOR_MAX} minor units")
    return amount


def parse_decimal(text: object, currency: str, field: str = "amount") -> int | Fault:
    """Minor units from a decimal text such as "35.7", or what is wrong with it (B30).

    Plain ASCII digits and one point; no sign, exponent, separator or blank; no more places than the currency has.
    """
    places = EXPONENTS[currency]
    if not isinstance(text, str) or not (match := _DECIMAL.fullmatch(text)):
        return Fault(
            field,
            shown(text),
            "not an amount",
            "Give digits and a decimal point, no sign and no comma, such as 1250.00",
        )
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    if len(fraction) > places:
        remedy = f"{currency} has {places} decimal places" if places else f"{currency} has no decimal places"
        return Fault(field, shown(text), "more decimal places than the currency has", remedy)
    minor = int(whole + fraction.ljust(places, "0"))
    if not 0 < minor <= AMOUNT_MINOR_MAX:
        return Fault(
            field,
            shown(text),
            "out of range",
            f"Give more than 0 and at most {to_decimal(AMOUNT_MINOR_MAX, currency)}",
        )
    return minor


def to_decimal(amount_minor: int, currency: str) -> str:
    """Decimal text of an amount, by string arithmetic: (1250, "USD") is "12.50", (500, "JPY") is "500"."""
    places = EXPONENTS[currency]
    sign, digits = ("-" if amount_minor < 0 else ""), str(abs(amount_minor))
    if not places:
        return sign + digits
    digits = digits.rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


def for_people(amount_minor: int, currency: str) -> str:
    """An amount as people read it: "1,250.00 USD"."""
    whole, point, fraction = to_decimal(amount_minor, currency).partition(".")
    sign, whole = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    grouped = f"{int(whole):,}"
    return f"{sign}{grouped}{point}{fraction} {currency}"
