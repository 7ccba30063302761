"""A payment card: what is checked at the edge, what may be shown of it, how its number is spotted in text (C1)."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from rules.errors import Fault, shown
from rules.texts import check_text


@dataclass(frozen=True, slots=True)
class Card:
    """A card in the clear: exists only in the vault and in a gateway's request, and shows nothing of itself."""

    number: str = field(repr=False)
    exp_month: int = field(repr=False)
    exp_year: int = field(repr=False)  # four digits
    security_code: str | None = field(default=None, repr=False)
    name: str = field(default="", repr=False)
    street: str = field(default="", repr=False)
    city: str = field(default="", repr=False)
    state: str = field(default="", repr=False)
    postal_code: str = field(default="", repr=False)
    country: str = field(default="", repr=False)  # ISO 3166-1 alpha-2, empty where not known

    @property
    def brand(self) -> Brand:
        """The card's network, from its number."""
        return brand_of(self.number)

    @property
    def last_four(self) -> str:
        """All that may be shown of the number (B63)."""
        return self.number[-4:]


class Brand(StrEnum):
    """Card networks as far as the leading digits tell them."""

    VISA = "visa"
    MASTERCARD = "mastercard"
    AMEX = "amex"
    DISCOVER = "discover"
    DINERS = "diners"
    JCB = "jcb"
    UNIONPAY = "unionpay"
    OTHER = "other"


# ISO/IEC 7812 ranges as the networks publish them: (first prefix, last prefix of the same length, brand).
_PREFIXES: Final = (
    ("2221", "2720", Brand.MASTERCARD),
    ("300", "305", Brand.DINERS),
    ("3095", "3095", Brand.DINERS),
    ("34", "34", Brand.AMEX),
    ("3528", "3589", Brand.JCB),
    ("36", "36", Brand.DINERS),
    ("37", "37", Brand.AMEX),
    ("38", "39", Brand.DINERS),
    ("4", "4", Brand.VISA),
    ("51", "55", Brand.MASTERCARD),
    ("6011", "6011", Brand.DISCOVER),
    ("62", "62", Brand.UNIONPAY),
    ("644", "649", Brand.DISCOVER),
    ("65", "65", Brand.DISCOVER),
    ("81", "81", Brand.UNIONPAY),
)

_LENGTHS: Final[dict[Brand, frozenset[int]]] = {
    Brand.VISA: frozenset({13, 16, 19}),
    Brand.MASTERCARD: frozenset({16}),
    Brand.AMEX: frozenset({15}),
    Brand.DISCOVER: frozenset(range(16, 20)),
    Brand.DINERS: frozenset(range(14, 20)),
    Brand.JCB: frozenset(range(16, 20)),
    Brand.UNIONPAY: frozenset(range(16, 20)),
    Brand.OTHER: frozenset(range(13, 20)),
}

_YEARS_AHEAD: Final = 20
_EXPIRY = re.compile(r"([0-9]{1,2})\s*[/-]\s*([0-9]{4}|[0-9]{2})|([0-9]{2})([0-9]{4}|[0-9]{2})")
_TEXT_MAX: Final = 100
CARD_DIGITS_MIN: Final = 13
CARD_DIGITS_MAX: Final = 19
"""Digits that a card's number has at the least and at the most."""


def brand_of(number: str) -> Brand:
    """The network that a number's leading digits belong to."""
    for first, last, brand in _PREFIXES:
        if first <= number[: len(first)] <= last:
            return brand
    return Brand.OTHER


_DOUBLED: Final = str.maketrans("0123456789", "0246813579")  # the digit sum of twice the digit


def luhn_valid(digits: str) -> bool:
    """Whether the check digit of ISO/IEC 7812-1 is right; takes ASCII digits."""
    return sum(map(int, digits[::-2] + digits[-2::-2].translate(_DOUBLED))) % 10 == 0


def parse_expiry(text: str) -> tuple[int, int] | None:
    """Month and four-digit year of "12/29", "1229" or "12/2029"; None where it is no such date."""
    if not (match := _EXPIRY.fullmatch(text.strip())):
        return None
    month, year = int(match[1] or match[3]), int(match[2] or match[4])
    return (month, year if year > 99 else 2000 + year) if 1 <= month <= 12 else None


def expires_before(exp_month: int, exp_year: int, day: date) -> bool:
    """Whether the card is no longer valid on that day; it is valid through the last day of its month (B55)."""
    return day > date(exp_year, exp_month, monthrange(exp_year, exp_month)[1])


def check_card(
    number: str,
    expiry: str,
    security_code: str | None,
    name: str,
    today: date,
    *,
    street: str = "",
    city: str = "",
    state: str = "",
    postal_code: str = "",
    country: str = "",
) -> Card | list[Fault]:
    """The card, or everything that is wrong with it at once; no fault repeats what was given for a secret field.

    The number may come with blanks and dashes, as people type it; only here. The security code may be None or empty.
    """
    faults: list[Fault] = []
    digits = re.sub(r"[ -]", "", number)
    brand = brand_of(digits)
    if problem := _number_problem(digits, brand):
        faults.append(Fault("card_number", "", problem, "Ask for the number again and compare it with the card"))
    month, year = 0, 0
    if (parsed := parse_expiry(expiry)) is None:
        faults.append(Fault("expiry", "", "not a month and year", "Give it as on the card, such as 12/29"))
    else:
        month, year = parsed
        if expires_before(month, year, today):
            faults.append(Fault("expiry", "", "the card has expired", "Ask for the new card or its new date"))
        elif year > today.year + _YEARS_AHEAD:
            faults.append(Fault("expiry", "", "too far in the future", "Compare the date with the card"))
    code = (security_code or "").strip()
    if code and (fault := _code_fault(code, brand)):
        faults.append(fault)
    texts = {"card_name": name, "street": street, "city": city, "state": state, "postal_code": postal_code}
    for field_name, text in texts.items():
        checked = check_text(field_name, text, _TEXT_MAX)
        if isinstance(checked, Fault):
            faults.append(checked)
        elif looks_like_card_number(text):
            faults.append(Fault(field_name, "", "looks like a card number", "Give the number as the card number only"))
    nation = country.strip().upper()
    if nation and not re.fullmatch(r"[A-Z]{2}", nation):
        faults.append(Fault("country", shown(country), "not a country", "Give two letters by ISO 3166, such as US"))
    if faults:
        return faults
    return Card(
        number=digits,
        exp_month=month,
        exp_year=year,
        security_code=code or None,
        name=name.strip(),
        street=street.strip(),
        city=city.strip(),
        state=state.strip(),
        postal_code=postal_code.strip(),
        country=nation,
    )


def _number_problem(digits: str, brand: Brand) -> str:
    if not re.fullmatch(r"[0-9]+", digits):
        return "not a card number" if digits else "missing"
    if len(digits) not in _LENGTHS[brand]:
        owner = "a card" if brand is Brand.OTHER else f"a card of {brand}"
        return f"{len(digits)} digits are not as many as {owner} has"
    return "" if luhn_valid(digits) else "its check digit is wrong"


def _code_fault(code: str, brand: Brand) -> Fault | None:
    lengths = {Brand.AMEX: {4}, Brand.OTHER: {3, 4}}.get(brand, {3})
    if re.fullmatch(r"[0-9]+", code) and len(code) in lengths:
        return None
    needed = " or ".join(str(length) for length in sorted(lengths))
    return Fault("security_code", "", "not a security code", f"Give the {needed} digits printed on the card")


# Blank, dash, dot, no-break blank, typographic dashes, and how a form's encoding writes blank and dash.
_SEPARATOR: Final = r"(?:[ .\-+_\u00a0\u2009\u2010-\u2014\u202f]|%20|%2[Dd])"
_SEPARATED_RUN = re.compile(rf"\d+(?:{_SEPARATOR}{{1,3}}\d+)*")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_GROUP = re.compile(r"\d+")
_ENCODED_BLANK = re.compile(r"%20|%2[Dd]")


def digits_only(span: str) -> str:
    """A span of digit groups in ASCII digits, same length: other scripts' digits turned, all else made blank."""
    if span.isascii() and span.isdigit():
        return span
    plain = _ENCODED_BLANK.sub("   ", span)
    return "".join(str(int(c)) if c.isdecimal() else " " for c in plain)


def card_number_spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of all that may be a card number: groups of digits, 13 to 19 in all, with a right check digit.

    Groups may be joined by blanks, dashes or dots; spans may overlap. A single run of 20 digits or more counts too,
    since a number may hide in it. UUIDs do not count. One in ten innocent long numbers is met by chance.
    """
    long_runs = [run for run in _SEPARATED_RUN.finditer(text) if sum(map(str.isdecimal, run[0])) >= CARD_DIGITS_MIN]
    uuids = [match.span() for match in _UUID.finditer(text)] if long_runs else []
    for run in long_runs:
        if any(start <= run.start() < end for start, end in uuids):
            continue
        groups = [(match[0], match.start() + run.start()) for match in _GROUP.finditer(digits_only(run[0]))]
        for first in range(len(groups)):
            digits = ""
            for group, start in groups[first : first + 19]:
                digits += group
                if len(digits) > 19:
                    if len(group) == len(digits):
                        yield start, start + len(group)
                    break
                if len(digits) >= CARD_DIGITS_MIN and luhn_valid(digits):
                    yield groups[first][1], start + len(group)


_SOLID_RUN = re.compile(r"(?<!\d)\d{16,19}(?!\d)")
_GLUED_LENGTHS: Final = {Brand.VISA: 16, Brand.MASTERCARD: 16, Brand.DISCOVER: 16, Brand.AMEX: 15}


def glued_card_spans(text: str) -> Iterator[tuple[int, int]]:
    """Runs of up to 19 digits that begin or end with a number of a large network, to which a code or date is glued.

    One in twenty innocent runs of 17 to 19 digits is met by chance, besides those that `card_number_spans` meets.
    """
    for run in _SOLID_RUN.finditer(text):
        digits = digits_only(run[0])
        for brand, length in _GLUED_LENGTHS.items():
            ends = {digits[:length], digits[-length:]} if length < len(digits) else ()
            if any(brand_of(end) is brand and luhn_valid(end) for end in ends):
                yield run.span()
                break


def looks_like_card_number(text: str) -> bool:
    """Whether a card number seems to stand in the text, written in one way: solid, or with one kind of separator.

    For guards that refuse (B61 to B63): a date beside a telephone number is let through, unlike in a redactor.
    """
    for start, end in card_number_spans(text):
        span = text[start:end]
        if len(digits_only(span).replace(" ", "")) <= 19 and len(set(re.findall(r"\D+", span))) <= 1:
            return True
    return False
