"""BAI2, in which American banks tell what came in, lockbox items among it; read by the package `bai2`.

Records and type codes: BAI's "Cash Management Balance Reporting Specifications", version 2, whose table of codes the
package carries. Amounts are minor units of the currency; control totals and counts of records must be right, or the
file is refused. Banks have codes of their own, which the package does not know: such an item is left to a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from bai2.constants import GroupStatus, TypeCode, TypeCodes
from bai2.exceptions import IntegrityException, NotSupportedYetException, ParsingException
from bai2.helpers import IteratorHelper
from bai2.parsers import (
    AccountIdentifierParser,
    AccountParser,
    Bai2FileParser,
    GroupParser,
    TransactionDetailParser,
)

from rules.errors import DefrayError, shown
from rules.methods import NUMBER_MAX, Method
from rules.money import AMOUNT_MINOR_MAX, EXPONENTS
from rules.remittance import BankFile, Left, Received

_CHECKS: Final = {"115", "116", "175", "176"}
_CUSTOMERS_PAY: Final = _CHECKS | {
    *("108", "121", "122", "135", "136", "142", "143", "145", "155", "156", "158", "164", "165", "173", "174", "184"),
    *("191", "195", "201", "206", "208", "216", "218", "222", "227", "301", "399"),
}
"""Codes of credits by which customers pay; other credits are interest, loans, securities, the bank's own business."""

_ITEMS_OF: Final = {"115": "116", "135": "136", "142": "143", "145": "143", "155": "156"}
"""A deposit as a whole, and the code of its items: where these are told, the whole is not money once more."""

_TAKEN_BACK: Final = ("return", "revers", "correct", "adjust", "reject")


def _code(value: str) -> TypeCode:
    return TypeCodes[value] if value in TypeCodes else TypeCode(value, None, None, "a code of the bank's own")


class _Detail(TransactionDetailParser):  # type: ignore[misc]
    head_fields_config = [("type_code", _code), *TransactionDetailParser.head_fields_config[1:]]  # noqa: RUF012


class _Identifier(AccountIdentifierParser):  # type: ignore[misc]
    summary_fields_config = [("type_code", _code), *AccountIdentifierParser.summary_fields_config[1:]]  # noqa: RUF012


class _Account(AccountParser):  # type: ignore[misc]
    header_parser_class = _Identifier
    child_parser_class = _Detail


class _Group(GroupParser):  # type: ignore[misc]
    child_parser_class = _Account


class _File(Bai2FileParser):  # type: ignore[misc]
    child_parser_class = _Group


_DAMAGED: Final = (
    IntegrityException, NotSupportedYetException, ParsingException,
    ValueError, LookupError, TypeError, AttributeError, StopIteration, RuntimeError,
)  # fmt: skip
"""What the package raises for what is no BAI2."""


def read(content: bytes) -> BankFile:
    """The file, or several behind each other. Raises DefrayError where one is damaged."""
    reading = _Reading()
    for lines in _files(content.decode("utf-8-sig", "replace")):
        for group in _parsed(lines).children:
            for account in group.children:
                told = Counter[str]()
                for item in account.children:
                    told[item.type_code.code] += item.amount or 0
                for item in account.children:
                    reading.take(group.header, account.header, item, told)
    return BankFile(tuple(reading.received), tuple(reading.left), dict(reading.passed_over))


def _files(text: str) -> Iterator[list[str]]:
    """The lines of each file: from a record 01 to the next."""
    lines: list[str] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("01,") and lines:
            yield lines
            lines = []
        lines.append(line)
    yield lines


def _parsed(lines: list[str]) -> Any:
    # Of a file without its end the package would read the last item for ever; behind the end it reads nothing.
    if [number for number, line in enumerate(lines, start=1) if line.startswith("99")] != [len(lines)]:
        raise _damaged("its last record is not the only 99")
    try:
        return _File(IteratorHelper(lines)).parse()
    except _DAMAGED as reason:
        raise _damaged(shown(reason, 80)) from None


def _damaged(why: str) -> DefrayError:
    return DefrayError(f"This is no whole BAI2 file: {why}.", "Fetch it from the bank again.")


class _Reading:
    """Items as they come."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.left: list[Left] = []
        self.passed_over: Counter[str] = Counter()
        self._place = 0

    def take(self, group: Any, account: Any, item: Any, told: Counter[str]) -> None:
        """Find out what an item is; `told`: the sums of its account by code."""
        self._place += 1
        code, about = item.type_code.code, item.type_code.description
        currency = account.currency or group.currency
        references = [str(said).strip() for said in (item.bank_reference, item.customer_reference) if said]
        number = _check_number(code, item.customer_reference)
        said = [item.text or ""] if number else [item.customer_reference or "", item.text or ""]
        text = " ".join(" ".join(said).split())

        def leave(why: str) -> None:
            self.left.append(
                Left(self._place, group.as_of_date, currency, item.amount or 0, why, number=number, text=text)
            )

        if not item.amount:
            self.passed_over["without an amount"] += 1
        elif group.group_status is not GroupStatus.update:
            leave(f"stands in a group that is a {group.group_status.name.replace('_', ' ')}")
        elif item.type_code.transaction is None:
            leave(f"has the code {code}, which is the bank's own")
        elif any(word in about.lower() for word in _TAKEN_BACK):
            leave(f"is no payment: {about} ({code})")
        elif item.type_code.transaction.value != "credit":
            self.passed_over["debits"] += 1
        elif code not in _CUSTOMERS_PAY:
            self.passed_over[f"credits that are no customer's: {about} ({code})"] += 1
        elif _ITEMS_OF.get(code) in told and not _all_told(_ITEMS_OF[code], told):
            leave(f"is a deposit of which not all items are told: {about} ({code})")
        elif _ITEMS_OF.get(code) in told:
            self.passed_over[f"deposits whose items are told: {about} ({code})"] += 1
        elif currency not in EXPONENTS or not 0 < item.amount <= AMOUNT_MINOR_MAX:
            leave("has a currency or an amount that is not known here")
        elif not any(reference.strip("0") for reference in references):
            leave("has no reference: nothing tells it from another like it")
        else:
            method = Method.CHECK if code in _CHECKS else Method.OTHER
            self.received.append(
                Received(
                    self._place,
                    str(account.customer_account_number),
                    "/".join(references),
                    group.as_of_date,
                    currency,
                    item.amount,
                    method,
                    number,
                    text=text,
                )
            )


def _all_told(items: str, told: Counter[str]) -> bool:
    """Whether the items of deposits come to the deposits; else money would be passed over."""
    return sum(told[whole] for whole, code in _ITEMS_OF.items() if code == items) == told[items]


def _check_number(code: str, reference: str | None) -> str | None:
    """An item of a lockbox has the number of its check as the customer's reference."""
    number = (reference or "").strip()
    return number if code == "116" and number.isdecimal() and len(number) <= NUMBER_MAX else None
