"""The only writer of state columns, events, evidence and journal entries.

`advance` makes a move of `rules.states` for any number of rows in one statement and appends the events in the same
breath; a move that the table of states does not have raises before anything is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, TextClause, text

from rules import states
from rules.ledger import Entry, Kind
from rules.outcomes import Evidence


@dataclass(frozen=True, slots=True)
class Move:
    """One row's move: its id, the state it is in (read under its customer's lock), the move's name and the reason."""

    id: int
    state: StrEnum
    move: str
    why: str = ""


class Subject(StrEnum):
    """What has states: the table's name."""

    PAYMENTS = "payments"
    TRANSACTIONS = "gateway_transactions"
    REVERSALS = "reversals"


# What an event of each subject is called, and where its customer, payment and batch are found.
_EVENT: Final = {
    Subject.PAYMENTS: "'payment.' || u.state, u.customer_id, u.id, u.batch_id, NULL",
    Subject.TRANSACTIONS: "u.operation || '.' || u.state, NULL, u.payment_id, NULL, u.id",
    Subject.REVERSALS: """'reversal.' || u.state, (SELECT p.customer_id FROM payments p WHERE p.id = u.payment_id),
        u.payment_id, NULL, NULL""",
}
_TYPES: Final = {
    "next_step": "text",
    "due_at": "timestamptz",
    "not_before": "timestamptz",
    "first_declined_at": "timestamptz",
    "posted_at": "timestamptz",
    "voided_at": "timestamptz",
    "finished_at": "timestamptz",
    "ended_at": "timestamptz",
    "post_date": "date",
    "reason": "text",
    "gateway": "text",
    "voided_by": "text",
    "void_reason": "text",
    "charged_minor": "bigint",
    "applied_minor": "bigint",
    "credited_minor": "bigint",
    "attempts": "int",
    "failures": "int",
    "transaction_id": "text",
    "approval_code": "text",
    "code": "text",
    "message": "text",
    "decline_class": "text",
    "blocks_card": "boolean",
    "asked": "int",
    "lease_token": "bigint",
}


@cache
def _statement(subject: Subject, columns: tuple[str, ...], tell: bool) -> TextClause:
    sets = "".join(f", {column} = v.{column}" for column in columns)
    names = "".join(f", {column}" for column in columns)
    arrays = "".join(f", CAST(:{column} AS {_TYPES[column]}[])" for column in columns)
    change = f"""
        WITH v AS (
            SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:was AS text[]), CAST(:states AS text[]),
                                 CAST(:whys AS text[]){arrays}) AS v(id, was, state, why{names})
        ), u AS (
            UPDATE {subject} AS s SET state = v.state{sets} FROM v WHERE s.id = v.id AND s.state = v.was
            RETURNING s.*, v.was, v.why
        )"""
    if not tell:
        return text(change + " SELECT count(*) FROM u")
    return text(
        change
        + f""", e AS (
            INSERT INTO events (at, what, customer_id, payment_id, batch_id, gateway_transaction_id,
                                from_state, to_state, why, by)
            SELECT :now, {_EVENT[subject]}, u.was, u.state, u.why, :by FROM u ORDER BY u.id
        ) SELECT count(*) FROM u"""
    )


def advance(
    conn: Connection,
    subject: Subject,
    moves: Sequence[Move],
    now: datetime,
    by: str,
    columns: Mapping[str, Sequence[Any]] | None = None,
    tell: bool = True,
) -> None:
    """Make each move, set `columns` (a value for each move) beside it, and append the events (unless `tell` is False).

    `next_step` and `due_at` are cleared unless given. Raises MoveRefused for a move that the table of states lacks, and
    RuntimeError if a row is not in the state that the caller read under the lock.
    """
    if not moves:
        return
    nothing: list[Any] = [None] * len(moves)
    values: dict[str, Sequence[Any]] = {"next_step": nothing, "due_at": nothing, **(columns or {})}
    changed = conn.execute(
        _statement(subject, tuple(sorted(values)), tell),
        {
            "ids": [move.id for move in moves],
            "was": [move.state.value for move in moves],
            "states": [states.after(move.state, move.move).value for move in moves],
            "whys": [_words(move.why) for move in moves],
            **{name: [_words(v) if isinstance(v, str) else v for v in given] for name, given in values.items()},
            **({"now": now, "by": by} if tell else {}),
        },
    ).scalar_one()
    if changed != len(moves):
        raise RuntimeError(f"{len(moves) - changed} of {len(moves)} {subject} were not in the state that was read")


_TELL = text("""
    INSERT INTO events (at, what, customer_id, payment_id, batch_id, invoice_id, gateway_transaction_id,
                        why, by, details)
    VALUES (:now, :what, :customer_id, :payment_id, :batch_id, :invoice_id, :gateway_transaction_id,
            :why, :by, CAST(:details AS jsonb))
""")


def tell(
    conn: Connection,
    what: str,
    now: datetime,
    by: str,
    why: str = "",
    *,
    customer_id: int | None = None,
    payment_id: int | None = None,
    batch_id: int | None = None,
    invoice_id: int | None = None,
    gateway_transaction_id: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Append one event that is not a change of state, such as an alarm (`what` begins with "alarm.")."""
    conn.execute(
        _TELL,
        {
            "now": now,
            "what": what,
            "customer_id": customer_id,
            "payment_id": payment_id,
            "batch_id": batch_id,
            "invoice_id": invoice_id,
            "gateway_transaction_id": gateway_transaction_id,
            "why": _words(why),
            "by": by,
            "details": json.dumps(details) if details is not None else None,
        },
    )


_EVIDENCE = text("""
    INSERT INTO evidence (gateway_transaction_id, at, kind, http_status, said)
    SELECT v.id, :now, :kind, v.http_status, v.said
    FROM jsonb_to_recordset(CAST(:heard AS jsonb)) AS v(id bigint, http_status int, said jsonb)
""")


def witness(conn: Connection, kind: str, now: datetime, heard: Sequence[tuple[int, Evidence]]) -> None:
    """Store what gateways said, before any move is tried; refuses nothing. `kind`: reply, inquiry or person."""
    if heard:
        rows = [
            {"id": transaction_id, "http_status": said.http_status, "said": _storable(said.said)}
            for transaction_id, said in heard
        ]
        conn.execute(_EVIDENCE, {"now": now, "kind": kind, "heard": json.dumps(rows)})


def _storable(said: Mapping[str, str]) -> dict[str, str]:
    return {key: _words(value) for key, value in said.items()}


def _words(value: str) -> str:
    """The database knows no NUL, and lone surrogates are no text: both are replaced, so that no word is refused."""
    return value if value.isprintable() else value.replace("\0", "�").encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Booking:
    """A journal entry and what it belongs to."""

    kind: Kind
    entry: Entry
    customer_id: int
    currency: str
    payment_id: int | None = None
    invoice_id: int | None = None


_BOOK = text("""
    INSERT INTO journal (at, post_date, kind, customer_id, payment_id, invoice_id, currency, accounts, amounts_minor)
    SELECT :now, v.post_date, v.kind, v.customer_id, v.payment_id, v.invoice_id, v.currency,
           CAST(v.accounts AS text[]), CAST(v.amounts AS bigint[])
    FROM unnest(CAST(:post_dates AS date[]), CAST(:kinds AS text[]), CAST(:customer_ids AS bigint[]),
                CAST(:payment_ids AS bigint[]), CAST(:invoice_ids AS bigint[]), CAST(:currencies AS text[]),
                CAST(:accounts AS text[]), CAST(:amounts AS text[]))
         AS v(post_date, kind, customer_id, payment_id, invoice_id, currency, accounts, amounts)
""")


def book(conn: Connection, bookings: Sequence[Booking], now: datetime, post_dates: Sequence[date]) -> None:
    """Append journal entries; one that moves nothing (no lines) is left out."""
    pairs = [(booking, day) for booking, day in zip(bookings, post_dates, strict=True) if booking.entry.accounts]
    if pairs:
        conn.execute(
            _BOOK,
            {
                "now": now,
                "post_dates": [day for _, day in pairs],
                "kinds": [booking.kind.value for booking, _ in pairs],
                "customer_ids": [booking.customer_id for booking, _ in pairs],
                "payment_ids": [booking.payment_id for booking, _ in pairs],
                "invoice_ids": [booking.invoice_id for booking, _ in pairs],
                "currencies": [booking.currency for booking, _ in pairs],
                # An array of arrays would have to be rectangular: each entry's arrays travel as their own literals.
                "accounts": ["{" + ",".join(booking.entry.accounts) + "}" for booking, _ in pairs],
                "amounts": ["{" + ",".join(map(str, booking.entry.amounts_minor)) + "}" for booking, _ in pairs],
            },
        )
