"""A bank's file of what came in: sure credits become payments of one batch, all others are told to a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from books import remit
from models.engine import snapshot
from producer import csv_rows
from producer.payments import Producer, Row
from reports import bank
from rules import remittance
from rules.cards import looks_like_card_number
from rules.errors import Fault
from rules.redaction import redact_text
from rules.remittance import BankFile, Left, Match
from rules.texts import check_text

_NOTES_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Taken:
    """A credit that is a payment: of which customer, for which invoices (none: the oldest), and why that is sure."""

    place: int
    currency: str
    amount_minor: int
    customer: str
    invoices: tuple[str, ...]
    number: str | None
    why: str


@dataclass(frozen=True, slots=True)
class RemittanceReceipt:
    """What became of a file's items.

    `taken` are recorded now, unless it was a preview; `repeated` were recorded before, by an earlier import; `left` is
    for a person; `passed_over` counts what is no customer's money, by reason.
    """

    recorded: int
    taken: tuple[Taken, ...]
    repeated: int
    left: tuple[Left, ...]
    passed_over: Mapping[str, int]
    batch_id: int | None = None


def import_remittances(
    engine: Engine,
    producer: Producer,
    path: Path,
    *,
    caller: str,
    by: str,
    by_amount: bool = True,
    preview: bool = False,
) -> RemittanceReceipt:
    """Record what is sure. The same file again, or an item again in another file, changes nothing (R15).

    Raises DefrayError where the file is none of a bank, or a damaged one, MoveRefused while another is imported: then
    nothing was recorded.
    """
    said = bank.read(path)
    with nullcontext() if preview else _alone(engine):
        return _recorded(engine, producer, path, said, caller=caller, by=by, by_amount=by_amount, preview=preview)


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn, remit.alone(conn):
        yield


def _recorded(
    engine: Engine,
    producer: Producer,
    path: Path,
    said: BankFile,
    *,
    caller: str,
    by: str,
    by_amount: bool,
    preview: bool,
) -> RemittanceReceipt:
    with snapshot(engine).begin() as conn:
        before = remit.recorded(conn, caller, [one.key for one in said.received])
        words = {word for one in said.received for word in remittance.words(one)}
        known = remit.known(conn, words, {(one.currency, one.amount_minor) for one in said.received})
    # Of all, also of what was recorded before: it is no less a reason why another item's amount decides nothing.
    found = remittance.match(said.received, known, by_amount)
    twins = remittance.alike(said.received)
    decided = [
        _unlike(of, before.get(one.key))
        for one, of in zip(said.received, found, strict=True)
        if one.key not in before or one.key in twins or _is_anothers(of, before[one.key])
    ]
    with snapshot(engine).begin() as conn:
        checks = remit.checks(conn, [check for one in decided if (check := remittance.check_of(one))])
    decided = remittance.each_check_once(decided, checks)
    matches = {one.received.place: one for one in decided if isinstance(one, Match)}
    left = [*said.left, *(one for one in decided if isinstance(one, Left))]
    recorded, batch_id = 0, None
    if matches and not preview:
        receipt = producer.submit_rows(
            [Row(place, _asked(one)) for place, one in matches.items()],
            label=csv_rows.label(path),
            caller=caller,
            idempotency_key=f"file:{csv_rows.digest(path)}",
            by=by,
            skip_bad=True,
        )
        recorded, batch_id = receipt.recorded, receipt.batch_id
        left += [remittance.left(matches.pop(row).received, _why(faults)) for row, faults in receipt.refused]
    return RemittanceReceipt(
        recorded,
        tuple(_taken(one) for one in matches.values()),
        len(said.received) - len(decided),
        tuple(_shown(one) for one in sorted(left, key=attrgetter("place"))),
        said.passed_over,
        batch_id,
    )


def _is_anothers(of: Match | Left, customer: str) -> bool:
    return isinstance(of, Match) and of.customer != customer


def _unlike(of: Match | Left, recorded_for: str | None) -> Match | Left:
    """What names another customer than the item that was recorded with its references is not that item."""
    if recorded_for is None or isinstance(of, Left):
        return of
    return remittance.left(of.received, f"has the references of a payment of customer {recorded_for}, and {of.how}")


def _asked(one: Match) -> dict[str, object]:
    received = one.received
    return {
        "idempotency_key": received.key,
        "customer": one.customer,
        "method": received.method.value,
        "number": received.number,
        "currency": received.currency,
        "amount_minor": received.amount_minor,
        "invoices": list(one.invoices) or None,
        "post_date": received.day,
        "notes": _notes(one),
    }


def _notes(one: Match) -> str:
    """What the bank said, for the office; without what could be a card's number (C1) or cannot be kept."""
    received = one.received
    told = check_text("notes", f"{received.payer}: {received.text}".strip(": ")[:_NOTES_MAX], _NOTES_MAX)
    about = f"From the bank's file; it {one.how.value}."
    return about if isinstance(told, Fault) or not told or looks_like_card_number(told) else f"{about} {told}"


def _shown(one: Left) -> Left:
    """As it may be told to anybody (C3)."""
    return replace(one, payer=redact_text(one.payer), text=redact_text(one.text))


def _why(faults: Sequence[Fault]) -> str:
    return "; ".join(map(str, faults))


def _taken(one: Match) -> Taken:
    received = one.received
    return Taken(
        received.place,
        received.currency,
        received.amount_minor,
        one.customer,
        one.invoices,
        received.number,
        one.how.value,
    )
