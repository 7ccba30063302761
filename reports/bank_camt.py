"""camt.054 (notification) and camt.053 (statement) of ISO 20022, in which banks outside America tell what came in.

Elements: BankToCustomerDebitCreditNotification camt.054.001.11 (mx-message.com/m/camt-054-001-11), whose entries are
those of BankToCustomerStatement camt.053; versions 02 to 13 differ in what is asked here by `Sts`, which became a
choice, and by `Amt` of a transaction, which version 02 has in `AmtDtls`. Read as it comes, by defusedxml: a document
type, an entity or a reference to elsewhere is refused.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from rules.errors import DefrayError, Fault, shown
from rules.methods import NUMBER_MAX, Method
from rules.money import check_currency, parse_decimal, to_decimal
from rules.remittance import BankFile, Left, Received

_NAMESPACE: Final = re.compile(r"\{urn:iso:std:iso:20022:tech:xsd:camt\.(05[0-9])\.001\.[0-9]{2}\}Document")
_TAKEN: Final = {"053", "054"}
_BY_CHECK: Final = {"RCHQ", "LBOX"}
"""Families of ISO 20022 bank transaction codes: received cheques, lockbox transactions."""

_NOT_PROVIDED: Final = "NOTPROVIDED"
_DEPTH_OF_ENTRY: Final = 4  # Document / message / notification or statement / entry


def read(content: bytes) -> BankFile:
    """The file. Raises DefrayError where it is damaged, or another message."""
    reading = _Reading()
    account, depth, root = "", 0, True
    try:
        for event, element in iterparse(io.BytesIO(content), events=("start", "end"), forbid_dtd=True):
            if event == "start":
                depth += 1
                if root:
                    _check_root(element)
                    root = False
                continue
            name = _name(element)
            if depth == _DEPTH_OF_ENTRY and name == "Acct":
                account = _text(element, "Id/IBAN") or _text(element, "Id/Othr/Id")
            elif depth == _DEPTH_OF_ENTRY and name == "Ntry":
                reading.take(account, element)
                element.clear()
            depth -= 1
    except (ParseError, DefusedXmlException, LookupError, ValueError) as reason:
        raise DefrayError(
            f"This is no whole camt file: {shown(reason, 80)}.", "Fetch it from the bank again."
        ) from None
    return BankFile(tuple(reading.received), tuple(reading.left), dict(reading.passed_over))


def _check_root(element: Element) -> None:
    found = _NAMESPACE.fullmatch(element.tag)
    if found is None or found[1] not in _TAKEN:
        raise DefrayError(
            f"This XML is no camt.054 and no camt.053: {shown(element.tag, 80)}.",
            "Ask the bank for camt.054 (notifications) or camt.053 (statements).",
        )


class _Reading:
    """Entries as they come."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.left: list[Left] = []
        self.passed_over: Counter[str] = Counter()
        self._place = 0

    def take(self, account: str, entry: Element) -> None:
        """Find out what an entry, and each transaction in it, is."""
        parts = list(_all(entry, "NtryDtls/TxDtls"))
        self._place += 1
        first = self._place
        self._place += max(0, len(parts) - 1)
        amount, currency = _amount(entry, "Amt")
        why = _why_left(entry, parts, amount, currency)
        if why is None and not _text(entry, "Sts").startswith("BOOK"):
            self.passed_over["not booked yet"] += 1
        elif why is None and _text(entry, "CdtDbtInd") == "DBIT":
            self.passed_over["debits"] += 1
        elif why is not None:
            self._leave(first, entry, amount, currency, why)
        else:
            ours = [(amount, entry)] if not parts else [(_part_amount(part, amount, parts), part) for part in parts]
            for place, (minor, part) in enumerate(ours, start=first):
                self._receive(place, account, entry, part, minor, currency, len(ours) > 1)

    def _receive(
        self, place: int, account: str, entry: Element, part: Element, minor: int, currency: str, many: bool
    ) -> None:
        reference, day = _reference(entry, part, many), _day(entry)
        if not reference or day is None:
            what = "no reference: nothing tells it from another like it" if day else "no day"
            self._leave(place, entry, minor, currency, f"has {what}", part)
            return
        number = _text(part, "Refs/ChqNb")[:NUMBER_MAX] or None
        family = _text(part, "BkTxCd/Domn/Fmly/Cd") or _text(entry, "BkTxCd/Domn/Fmly/Cd")
        method = Method.CHECK if number or family in _BY_CHECK else Method.OTHER
        structured = [*_texts(part, "RmtInf/Strd/RfrdDocInf/Nb"), *_texts(part, "RmtInf/Strd/CdtrRefInf/Ref")]
        self.received.append(
            Received(
                place,
                account,
                reference,
                day,
                currency,
                minor,
                method,
                number,
                _payer(part),
                tuple(structured),
                _told(entry, part, many),
            )
        )

    def _leave(
        self, place: int, entry: Element, minor: int, currency: str, why: str, part: Element | None = None
    ) -> None:
        of = entry if part is None else part
        told = _told(entry, of, many=False)
        self.left.append(
            Left(place, _day(entry), currency, minor, why, _payer(of), _text(of, "Refs/ChqNb") or None, told)
        )


def _why_left(entry: Element, parts: list[Element], minor: int, currency: str) -> str | None:
    """What makes an entry no payment, or one that cannot be taken apart; None where it is one, or a plain debit."""
    if any(_text(of, "RvslInd") in {"true", "1"} for of in (entry, *parts)):
        return "is a reversal"
    if any(next(_all(of, "RtrInf"), None) is not None for of in parts):
        return "is a return"
    if _text(entry, "CdtDbtInd") not in {"CRDT", "DBIT"}:
        return "is neither a credit nor a debit"
    if _text(entry, "CdtDbtInd") == "DBIT":
        return None
    if not minor:
        return "has a currency or an amount that is not known here"
    if (count := _told_to_be(entry)) > 1 and count != len(parts):
        return f"is a collective entry of {count:,} transactions, of which {len(parts):,} are told"
    if any(_text(part, "CdtDbtInd") == "DBIT" for part in parts):
        return "has debits among its parts"
    if parts and (sum(found := [_part_amount(part, minor, parts) for part in parts]) != minor or not all(found)):
        return f"has parts that do not come to {to_decimal(minor, currency)} {currency}"
    if any(_amount(part, path)[1] not in {"", currency} for part in parts for path in _PART_AMOUNTS):
        return "has a part in another currency"
    return None


def _told_to_be(entry: Element) -> int:
    """How many transactions the bank says there are in an entry; statements mostly leave them to the notification."""
    return sum(int(said) for said in _texts(entry, "NtryDtls/Btch/NbOfTxs") if said.isdecimal() and len(said) < 16)


_PART_AMOUNTS: Final = ("Amt", "AmtDtls/TxAmt/Amt")


def _part_amount(part: Element, entire: int, parts: list[Element]) -> int:
    """A transaction's own amount in minor units, 0 where it has none that can be read; of a single one, the entry's."""
    for path in _PART_AMOUNTS:
        if next(_all(part, path), None) is not None:
            return _amount(part, path)[0]
    return entire if len(parts) == 1 else 0


def _amount(element: Element, path: str) -> tuple[int, str]:
    """Minor units and currency; 0 and what is said where they cannot be read."""
    found = next(_all(element, path), None)
    if found is None:
        return 0, ""
    currency = found.get("Ccy", "")
    if isinstance(check_currency(currency), Fault):
        return 0, shown(currency, 10)
    minor = parse_decimal((found.text or "").strip(), currency)
    return (0 if isinstance(minor, Fault) else minor), currency


_REFERENCES: Final = ("AcctSvcrRef", "UETR", "TxId", "EndToEndId", "InstrId", "ChqNb")


def _reference(entry: Element, part: Element, many: bool) -> str:
    """The strongest that there is, so that a notification and a statement tell the same of one transaction."""
    own = _first(
        _text(part, f"Refs/{name}") for name in ("AcctSvcrRef", "UETR", "TxId", "EndToEndId", "InstrId", "ChqNb")
    )
    if _text(part, "Refs/AcctSvcrRef"):
        return own
    of_entry = _first(_text(entry, name) for name in ("AcctSvcrRef", "NtryRef"))
    if many:
        return f"{of_entry}/{own}" if own else ""
    return _first([_text(entry, "AcctSvcrRef"), own, of_entry])


def _first(found: Iterator[str] | list[str]) -> str:
    return next((one for one in found if one and one != _NOT_PROVIDED), "")


def _day(entry: Element) -> date | None:
    for path in ("BookgDt/Dt", "BookgDt/DtTm", "ValDt/Dt", "ValDt/DtTm"):
        if said := _text(entry, path)[:10]:
            try:
                return date.fromisoformat(said)
            except ValueError:
                return None
    return None


def _payer(part: Element) -> str:
    return _first(
        _text(part, f"RltdPties/{path}") for path in ("Dbtr/Nm", "Dbtr/Pty/Nm", "UltmtDbtr/Nm", "UltmtDbtr/Pty/Nm")
    )


def _told(entry: Element, part: Element, many: bool) -> str:
    said = [*_texts(part, "RmtInf/Ustrd"), *_texts(part, "RmtInf/Strd/AddtlRmtInf"), *_texts(part, "AddtlTxInf")]
    end_to_end = _text(part, "Refs/EndToEndId")
    said += [end_to_end] if end_to_end != _NOT_PROVIDED else []
    said += [] if many else _texts(entry, "AddtlNtryInf")
    return " ".join(" ".join(said).split())


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _all(element: Element, path: str) -> Iterator[Element]:
    """Elements by their names, whatever the version's namespace."""
    name, _, rest = path.partition("/")
    for child in element:
        if _name(child) == name:
            if rest:
                yield from _all(child, rest)
            else:
                yield child


def _texts(element: Element, path: str) -> list[str]:
    return [found.text.strip() for found in _all(element, path) if found.text and found.text.strip()]


def _text(element: Element, path: str) -> str:
    """The first text there, also where a code became a choice of codes; empty where there is none."""
    return next(iter(_texts(element, path) or _texts(element, f"{path}/Cd")), "")
