"""What the parsers share: a row that is asked by column names, amounts and moments, faults with line numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from rules.errors import Fault, RequestRefused, shown
from rules.money import AMOUNT_MINOR_MAX, EXPONENTS
from rules.reconciling import ReportLine

Lines = Iterator[ReportLine]


@dataclass(frozen=True, slots=True)
class Row:
    """A row below a header. Columns are named as in the documents; case, blanks and underscores do not count."""

    number: int
    cells: list[str]
    places: Mapping[str, int]

    def get(self, *columns: str) -> str:
        """The first of these columns that the report has, without outer blanks; empty where it has none."""
        for column in columns:
            place = self.places.get(plainly(column))
            if place is not None:
                return self.cells[place].strip() if place < len(self.cells) else ""
        return ""

    def refuse(self, column: str, problem: str, remedy: str) -> RequestRefused:
        """The error that a cell cannot be read."""
        return RequestRefused([Fault(f"line {self.number}, {column}", shown(self.get(column)), problem, remedy)])

    def currency(self, column: str) -> str:
        """The currency code of a column. Raises RequestRefused."""
        code = self.get(column).upper()
        if code not in EXPONENTS:
            raise self.refuse(column, "not a currency in use", "Expected an ISO 4217 code such as USD")
        return code

    def amount(self, column: str, currency: str) -> int:
        """Signed minor units of a decimal amount. Raises RequestRefused."""
        amount = signed_minor(self.get(column), currency)
        if amount is None:
            raise self.refuse(column, "not an amount", f"Expected one in {currency}, such as 1,250.00 or (12.50)")
        return amount

    def moment(self, column: str, zone: tzinfo, *patterns: str) -> datetime:
        """The moment that a column tells, as ISO 8601 or by a pattern, in UTC; `zone` is where it names none.

        Raises RequestRefused.
        """
        found = _moment(self.get(column), zone, patterns)
        if found is None:
            raise self.refuse(column, "not a date or time as this report writes them", "Export the report again")
        return found


@dataclass(frozen=True, slots=True)
class Packed:
    """A form of the report that is no table: how it begins, and its records by field name, from the text in blocks."""

    begins: str
    records: Callable[[Iterator[str]], Iterator[Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Form:
    """What a gateway's report looks like."""

    gateway: str
    title: str  # as the gateway calls it
    needed: tuple[tuple[str, ...], ...]  # columns without which it is not this report, each with its other names
    read: Callable[[Row, tzinfo], ReportLine | None]
    """A line from a row, None where it tells of no transaction (totals, section heads). Raises RequestRefused."""
    zone: str = "UTC"  # of times that name none
    grain: timedelta = timedelta(seconds=1)  # how exact its times are
    unpack: Packed | None = None  # where it comes in another form, too


@lru_cache(maxsize=1024)
def plainly(column: str) -> str:
    """A column's name as it is compared."""
    return "".join(letter for letter in column.lower() if letter.isalnum() or letter in "[]")


def _moment(said: str, zone: tzinfo, patterns: Sequence[str]) -> datetime | None:
    found = _written(said, patterns)
    try:
        return found and (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:  # of the first year or the last, and not of it in UTC
        return None


def _written(said: str, patterns: Sequence[str]) -> datetime | None:
    try:
        return datetime.fromisoformat(said)  # many times quicker than a pattern
    except ValueError:
        pass
    for pattern in patterns:
        try:
            return datetime.strptime(said, pattern)  # noqa: DTZ007  # the zone is the caller's
        except ValueError:
            continue
    return None


_AMOUNT: Final = re.compile(r"(?P<whole>[0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4})(?:\.(?P<fraction>[0-9]{1,6}))?")
_SIGNS: Final = re.compile(
    r"(?P<open>\()?(?P<sign>[-+\u2212])?[$\u20ac\u00a3\u00a5]?\s?(?P<digits>[0-9.,]+)(?P<close>\))?"
)


def signed_minor(text: str, currency: str) -> int | None:
    """Minor units, below 0 with a minus sign or in parentheses; None where it is no amount of this currency.

    Thousands may be set off by commas, in their places; a decimal comma is refused, since it may mean either.
    """
    outer = _SIGNS.fullmatch(text)
    if outer is None or (outer["open"] is None) != (outer["close"] is None):
        return None
    number = _AMOUNT.fullmatch(outer["digits"])
    if number is None or (outer["open"] and outer["sign"]):
        return None
    fraction, places = (number["fraction"] or "").rstrip("0"), EXPONENTS[currency]
    if len(fraction) > places:
        return None
    amount = int(number["whole"].replace(",", "") + fraction.ljust(places, "0"))
    below = bool(outer["open"]) or (outer["sign"] or "+") != "+"
    return None if amount > AMOUNT_MINOR_MAX else -amount if below else amount


_DIGITS: Final = re.compile(r"[0-9]{19}")
_BASE36: Final = re.compile(r"[0-9A-Z]{12}", re.IGNORECASE)
_REFERENCES: Final = range(10**18, 36**12)


def merchant_reference(text: str) -> int | None:
    """Our merchant reference (E2) in 19 digits or 12 characters of base 36; None where it is none of ours."""
    if _DIGITS.fullmatch(text):
        reference = int(text)
    elif _BASE36.fullmatch(text):
        reference = int(text, 36)
    else:
        return None
    return reference if reference in _REFERENCES else None
