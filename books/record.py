"""Recording requests: a group at a time, set-based, in the caller's transaction, which may be of any size.

What a request says about itself was checked by `rules.requests`; here it meets the tables: its key (R15), its customer,
the invoices it names (R1), its card, the gateway that will charge it (R7). What depends on other payments is looked at
by `books.admit`, once all of the transaction's requests are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Final, NamedTuple, Protocol, cast

from sqlalchemy import Connection, Row, text

from books.claim import Step
from rules.calendar import begins
from rules.cards import Brand, expires_before
from rules.charging import WhenOwedLess
from rules.errors import Fault, shown
from rules.initiators import initiator
from rules.methods import Method
from rules.requests import PaymentRequest, digest, run_on_fault

Route = Callable[[Brand, PaymentRequest], str | None]
"""The gateway that charges a request by a card of this brand, None where none does (R7)."""

KEY_REUSED: Final = "was used before with other content"
"""What is wrong with an idempotency key that comes again for something else (R15)."""


class CardFacts(Protocol):
    """What is known of a card in the vault without opening it (C1)."""

    @property
    def token(self) -> str: ...
    @property
    def brand(self) -> Brand: ...
    @property
    def last_four(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def exp_month(self) -> int: ...
    @property
    def exp_year(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a group of requests comes from: the caller whose keys they bear, the person, the batch if any."""

    caller: str
    by: str
    batch_id: int | None = None
    card_once: bool = False  # the card came with the request, for it alone: its number is dropped afterwards (C2)
    attended: bool = False  # somebody is at the screen, or gave the card right now (C4)
    apart: tuple[str, ...] = ()  # what else was said, which tells two requests with one key apart (R15)
    scheduled: bool = False  # the run of a schedule


@dataclass(frozen=True, slots=True)
class Recorded:
    """The payment of a request; not new where its key was used before with the same content (R15)."""

    payment_id: int
    new: bool
    step: Step  # what it is due for first


class Resolved(NamedTuple):
    """A request with the rows it speaks of; no invoice ids: oldest first. `owed_minor`: what they owe now."""

    request: PaymentRequest
    customer_id: int
    invoice_ids: list[int] | None
    owed_minor: int
    gateway: str | None


_FIND_BATCH = text("SELECT id FROM batches WHERE caller = :caller AND idempotency_key = :key")
# A batch that comes again is locked by this, so that two who hand it in at once come one after the other.
_OPEN_BATCH = text("""
    INSERT INTO batches (caller, idempotency_key, label, state, created_at, created_by)
    VALUES (:caller, :key, :label, 'open', :now, :by)
    ON CONFLICT (caller, idempotency_key) DO UPDATE SET state = 'open' RETURNING id""")


# Two files that bring the same keys in another order would wait for each other.
_ONE_FILE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('defray batches of ' || :caller, 0))")


def find_batch(conn: Connection, caller: str, key: str) -> int | None:
    """The batch that this caller handed in under this key, if there is one."""
    return conn.execute(_FIND_BATCH, {"caller": caller, "key": key}).scalar_one_or_none()


def open_batch(conn: Connection, caller: str, key: str, label: str, now: datetime, by: str) -> int:
    """The batch of this key, made now or before, open for payments; a caller's batches are recorded one by one."""
    conn.execute(_ONE_FILE_AT_A_TIME, {"caller": caller})
    batch = {"caller": caller, "key": key, "label": label, "now": now, "by": by}
    return cast(int, conn.execute(_OPEN_BATCH, batch).scalar_one())


_CUSTOMERS = text("SELECT number, id FROM customers WHERE number = ANY(CAST(:numbers AS text[]))")
_INVOICES = text("""
    SELECT i.customer_id, i.number, i.id, i.currency, i.state, i.balance_minor
    FROM unnest(CAST(:customer_ids AS bigint[]), CAST(:numbers AS text[])) AS w(customer_id, number)
    JOIN invoices i ON i.customer_id = w.customer_id AND i.number = w.number""")
_OWED_IN_ALL = text("""
    SELECT w.customer_id, w.currency, (
        SELECT CAST(coalesce(sum(i.balance_minor), 0) AS bigint) FROM invoices i
        WHERE i.customer_id = w.customer_id AND i.currency = w.currency AND i.state = 'pending') AS owed_minor
    FROM unnest(CAST(:customer_ids AS bigint[]), CAST(:currencies AS text[])) AS w(customer_id, currency)""")
_KNOWN = text("""
    SELECT idempotency_key, id, content_digest, gateway FROM payments
    WHERE caller = :caller AND idempotency_key = ANY(CAST(:keys AS text[]))""")

_COLUMNS: Final = {
    "idempotency_key": "text",
    "content_digest": "bytea",
    "customer_id": "bigint",
    "method": "text",
    "number": "text",
    "currency": "text",
    "total_minor": "bigint",
    "post_date": "date",
    "notes": "text",
    "as_credit": "boolean",
    "allow_overlap": "boolean",
    "when_owed_less": "text",
    "recurring": "boolean",
    "run_on": "date",
    "initiated_by": "text",
    "due_at": "timestamptz",
    "owed_at_request_minor": "bigint",
    "card_token": "text",
    "card_brand": "text",
    "card_last_four": "text",
    "card_fingerprint": "text",
    "card_exp_month": "int",
    "card_exp_year": "int",
    "gateway": "text",
    "next_step": "text",
}
# An array of arrays would have to be rectangular: each payment's invoices and caps travel as literals of their own.
_INSERT = text(f"""
    INSERT INTO payments (caller, batch_id, card_once, attended, state, recorded_at, recorded_by,
                          {", ".join(_COLUMNS)}, invoice_ids, caps_minor)
    SELECT :caller, :batch_id, :card_once, :attended, 'requested', :now, :by,
           {", ".join(f"v.{name}" for name in _COLUMNS)},
           CAST(v.invoice_ids AS bigint[]), CAST(v.caps_minor AS bigint[])
    FROM unnest({", ".join(f"CAST(:{name} AS {type_}[])" for name, type_ in _COLUMNS.items())},
                CAST(:invoice_ids AS text[]), CAST(:caps_minor AS text[]))
         WITH ORDINALITY AS v({", ".join(_COLUMNS)}, invoice_ids, caps_minor, place)
    ORDER BY v.place
    ON CONFLICT (caller, idempotency_key) DO NOTHING
    RETURNING idempotency_key, id""")


def record(
    conn: Connection,
    requests: Sequence[PaymentRequest],
    cards: Mapping[str, CardFacts],
    origin: Origin,
    route: Route,
    now: datetime,
    today: date,
    when_owed_less: WhenOwedLess = WhenOwedLess.ASK,
    zone: tzinfo = UTC,
) -> list[Recorded | list[Fault]]:
    """Insert what is new, find what came before (R15), and say what is wrong with the rest; in the order of `requests`.

    `cards` holds the facts of every card token that the vault knows; `when_owed_less` is the policy of requests that
    name none (R8); `zone` is where the day begins on which a planned one is charged. Nothing may be charged or posted
    until `books.admit.admit` was asked in the same transaction.
    """
    digests = [digest(request, _card(cards, request), origin.apart) for request in requests]
    known = _known(conn, origin.caller, [request.idempotency_key for request in requests])
    first: dict[str, int] = {}
    for place, request in enumerate(requests):
        if request.idempotency_key not in known:
            first.setdefault(request.idempotency_key, place)
    places = list(first.values())
    resolved = resolve(conn, [requests[place] for place in places], cards, route, today)
    good = [(place, one) for place, one in zip(places, resolved, strict=True) if isinstance(one, Resolved)]
    refused = {
        requests[place].idempotency_key: one
        for place, one in zip(places, resolved, strict=True)
        if not isinstance(one, Resolved)
    }
    rows = [_row(digests[place], one, cards, origin, today, now, when_owed_less, zone) for place, one in good]
    inserted = _insert(conn, rows, [one for _, one in good], origin, now)
    # Another transaction may have used a key since we looked: its payment is the first.
    if missed := [one.request.idempotency_key for _, one in good if one.request.idempotency_key not in inserted]:
        known |= _known(conn, origin.caller, missed)

    steps = {one.request.idempotency_key: _step(one.gateway) for _, one in good}
    outcomes: list[Recorded | list[Fault]] = []
    for place, (request, content) in enumerate(zip(requests, digests, strict=True)):
        key = request.idempotency_key
        if first.get(key) == place and key in inserted:
            outcomes.append(Recorded(inserted[key], True, steps[key]))
        elif first.get(key) == place and key in refused:
            outcomes.append(refused[key])
        elif key in known:
            payment_id, before, gateway = known[key]
            outcomes.append(Recorded(payment_id, False, _step(gateway)) if before == content else [_reused(request)])
        elif digests[first[key]] != content:
            outcomes.append([_reused(request)])
        elif key in inserted:
            outcomes.append(Recorded(inserted[key], False, steps[key]))
        else:
            outcomes.append(refused[key])
    return outcomes


def resolve(
    conn: Connection, requests: Sequence[PaymentRequest], cards: Mapping[str, CardFacts], route: Route, today: date
) -> list[Resolved | list[Fault]]:
    """Find customers, invoices and gateways of requests, or say what is wrong with them (R1, R7)."""
    customers = _customers(conn, {request.customer for request in requests})
    found = [(request, customers[request.customer]) for request in requests if request.customer in customers]
    invoices = _invoices(conn, {(id_, invoice.number) for request, id_ in found for invoice in request.invoices})
    owed_in_all = _owed_in_all(conn, {(id_, request.currency) for request, id_ in found if not request.invoices})
    resolved: list[Resolved | list[Fault]] = []
    for request in requests:
        gateway, faults = _gateway(request, cards, route, today)
        if request.run_on is not None:
            faults = _plan_faults(request.run_on, gateway, faults, today)
        customer_id = customers.get(request.customer)
        if customer_id is None:
            remedy = "Compare the number, or record the customer first"
            faults.append(Fault("customer", shown(request.customer), "no such customer", remedy))
        rows: list[Row[Any]] = []
        if customer_id is not None:
            for invoice in request.invoices:
                row = invoices.get((customer_id, invoice.number))
                checked = _check_invoice(request, invoice.number, row)
                if isinstance(checked, Fault):
                    faults.append(checked)
                else:
                    rows.append(checked)
        if faults or customer_id is None:
            resolved.append(faults)
        elif request.invoices:
            owed = sum(
                min(row.balance_minor, row.balance_minor if invoice.cap_minor is None else invoice.cap_minor)
                for row, invoice in zip(rows, request.invoices, strict=True)
            )
            resolved.append(Resolved(request, customer_id, [row.id for row in rows], owed, gateway))
        else:
            owed = owed_in_all[customer_id, request.currency]
            resolved.append(Resolved(request, customer_id, None, owed, gateway))
    return resolved


def _customers(conn: Connection, numbers: set[str]) -> dict[str, int]:
    return {row.number: row.id for row in conn.execute(_CUSTOMERS, {"numbers": list(numbers)})}


def _invoices(conn: Connection, named: set[tuple[int, str]]) -> dict[tuple[int, str], Row[Any]]:
    if not named:
        return {}
    rows = conn.execute(
        _INVOICES, {"customer_ids": [id_ for id_, _ in named], "numbers": [number for _, number in named]}
    )
    return {(row.customer_id, row.number): row for row in rows}


def _owed_in_all(conn: Connection, owners: set[tuple[int, str]]) -> dict[tuple[int, str], int]:
    if not owners:
        return {}
    rows = conn.execute(
        _OWED_IN_ALL, {"customer_ids": [id_ for id_, _ in owners], "currencies": [code for _, code in owners]}
    )
    return {(row.customer_id, row.currency): row.owed_minor for row in rows}


def _check_invoice(request: PaymentRequest, number: str, row: Row[Any] | None) -> Row[Any] | Fault:
    """R1: of this customer, in this currency, and issued; one that is paid is no fault of itself, it takes nothing."""
    if row is None:
        problem = f"customer {shown(request.customer)} has no such invoice"
        return Fault("invoices", shown(number), problem, "Compare both numbers; leading zeros count")
    if row.currency != request.currency:
        problem = f"the invoice is in {row.currency}, the payment in {request.currency}"
        return Fault("invoices", shown(number), problem, "Pay it in its own currency (R14)")
    if row.state == "draft":
        return Fault("invoices", shown(number), "the invoice is a draft", "Issue it first, or leave it out")
    if row.state == "void":
        return Fault("invoices", shown(number), "the invoice is void", "Leave it out")
    return row


def _gateway(
    request: PaymentRequest, cards: Mapping[str, CardFacts], route: Route, today: date
) -> tuple[str | None, list[Fault]]:
    """The gateway that charges the request's card (R7), or what is wrong with the card."""
    if request.method is not Method.CREDIT_CARD:
        return None, []
    if request.card_token is None:
        if all(route(brand, request) is None for brand in Brand):
            return None, []
        return None, [Fault("card_token", "", "missing", "Give the card: cards are charged here")]
    card = cards.get(request.card_token)
    if card is None:
        return None, [Fault("card_token", shown(request.card_token), "no such card", "Enter the card again")]
    if expires_before(card.exp_month, card.exp_year, request.run_on or today):
        said = "the card will have expired by then" if request.run_on else "the card has expired"
        return None, [Fault("card_token", "", said, "Ask for the new card or its new date")]
    return route(card.brand, request), []


def _plan_faults(run_on: date, gateway: str | None, faults: list[Fault], today: date) -> list[Fault]:
    """What is wrong with a card that is to be charged on a later day; `faults`: with the card itself."""
    if fault := run_on_fault(run_on, today):
        return [fault]
    if not faults and gateway is None:
        return [Fault("run_on", run_on.isoformat(), "no gateway charges this card", "Leave it out (R7)")]
    return faults


def _card(cards: Mapping[str, CardFacts], request: PaymentRequest) -> str | None:
    card = cards.get(request.card_token) if request.card_token else None
    return f"{card.fingerprint} {card.exp_year}-{card.exp_month}" if card else request.card_token


def _step(gateway: str | None) -> Step:
    return "charge" if gateway else "post"


def _reused(request: PaymentRequest) -> Fault:
    remedy = "Draw a new key for a new payment; repeat a request unchanged"
    return Fault("idempotency_key", shown(request.idempotency_key), KEY_REUSED, remedy)


def _known(conn: Connection, caller: str, keys: Sequence[str]) -> dict[str, tuple[int, bytes, str | None]]:
    rows = conn.execute(_KNOWN, {"caller": caller, "keys": list(keys)})
    return {row.idempotency_key: (row.id, bytes(row.content_digest), row.gateway) for row in rows}


def _insert(
    conn: Connection,
    rows: Sequence[tuple[object, ...]],
    resolved: Sequence[Resolved],
    origin: Origin,
    now: datetime,
) -> dict[str, int]:
    """Insert payments; returns the ids of those whose keys were free."""
    if not rows:
        return {}
    values = {
        "caller": origin.caller,
        "batch_id": origin.batch_id,
        "card_once": origin.card_once,
        "attended": origin.attended,
        "by": origin.by,
        "now": now,
        "invoice_ids": [_literal(one.invoice_ids) for one in resolved],
        "caps_minor": [_caps(one.request) for one in resolved],
    }
    values |= {name: list(column) for name, column in zip(_COLUMNS, zip(*rows, strict=True), strict=True)}
    return {row.idempotency_key: row.id for row in conn.execute(_INSERT, values)}


def _row(
    content: bytes,
    one: Resolved,
    cards: Mapping[str, CardFacts],
    origin: Origin,
    today: date,
    now: datetime,
    when_owed_less: WhenOwedLess,
    zone: tzinfo,
) -> tuple[object, ...]:
    """A payment's columns, in the order of _COLUMNS."""
    request = one.request
    card = cards[request.card_token] if request.card_token else None
    return (
        request.idempotency_key,
        content,
        one.customer_id,
        request.method.value,
        request.number,
        request.currency,
        request.total_minor,
        # R5: what is charged takes the day of its approval.
        request.post_date or (None if one.gateway else today),
        request.notes,
        request.as_credit,
        request.allow_overlap,
        (request.when_owed_less or when_owed_less).value,
        request.recurring,
        request.run_on,
        initiator(attended=origin.attended, planned=request.run_on is not None, scheduled=origin.scheduled).value,
        begins(request.run_on, zone) if request.run_on else now,
        one.owed_minor,
        *(
            (card.token, card.brand.value, card.last_four, card.fingerprint, card.exp_month, card.exp_year)
            if card
            else (None,) * 6
        ),
        one.gateway,
        _step(one.gateway),
    )


def _caps(request: PaymentRequest) -> str | None:
    caps = [invoice.cap_minor for invoice in request.invoices]
    return _literal(caps) if any(cap is not None for cap in caps) else None


def _literal(numbers: Sequence[int | None] | None) -> str | None:
    if numbers is None:
        return None
    return "{" + ",".join("NULL" if number is None else str(number) for number in numbers) + "}"
