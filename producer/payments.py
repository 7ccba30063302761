"""The producer: a request, or a batch of any size, is recorded in one transaction; then the worker is woken."""

from __future__ import annotations

import logging
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from books import admit, clock, kept_cards, plans, record, traced
from books.claim import Step
from books.preview import Preview, preview
from producer.receipts import BatchReceipt, RefusedRows
from rules.calendar import business_day
from rules.cards import Card
from rules.charging import WhenOwedLess
from rules.errors import Fault, KeyReused, RequestRefused
from rules.methods import check_card_use
from rules.requests import PaymentRequest, check
from telemetry import traces
from vault import SealedCard, Vault

GROUP_REQUESTS: Final = 1_000
"""Requests that are recorded by one set of statements."""

GROUP_NAMES: Final = 20_000
"""Invoices that the requests of one group may name in all; a single request may name more."""

LANE_PAYMENTS: Final = 100
"""Payments for which one more lane is worth its message."""

_log = logging.getLogger(__name__)

_REMOVED: Final = Fault("card_token", "", "the card is not kept any more", "Enter the card again, or choose another")

_ALONE: Final = Fault("run_on", "", "a batch is charged as soon as can be", "Plan it as a payment of its own")

First = Callable[[Connection], object]
"""What an edge has to do in the same transaction, before anything else; may raise."""

Then = Callable[[Connection, int], object]
"""What is to be done in the same transaction with a new payment's id, after everything else."""

Asked = Mapping[str, object] | PaymentRequest
"""A request in words, as `rules.requests.check` reads it, or one that was checked."""


class Wake(Protocol):
    """What a producer needs of `worker.wake`: a message that says where to look, sent after the commit (D1)."""

    def batch(self, batch_id: int, step: Step, lanes: int) -> object:
        """Payments of this batch are due for `step`: let so many tasks work on it side by side."""

    def payment(self, payment_id: int, step: Step) -> object:
        """Somebody waits for this payment, due for `step`."""


class Row(NamedTuple):
    """A request with its place in what was handed in, or what made it unreadable."""

    row: int
    asked: Asked | Sequence[Fault]


class Producer:
    """Records payments for upstream apps, the console and the command line."""

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        wake: Wake,
        route: record.Route,
        zone: ZoneInfo,
        lanes: int = 2,
        when_owed_less: WhenOwedLess = WhenOwedLess.ASK,
    ) -> None:
        """`route` names the gateway of a request's card (R7); `zone` is where the business has its day (R5).

        `lanes`: tasks that may work on one batch side by side; a small batch gets fewer. `when_owed_less`: what to do
        where a request does not say, if less is owed when its card is to be charged (R8).
        """
        self._engine = engine
        self._vault = vault
        self._wake = wake
        self._route = route
        self._zone = zone
        self._lanes = lanes
        self._when_owed_less = when_owed_less

    def pay(
        self,
        asked: Asked,
        card: Card | None = None,
        *,
        caller: str,
        by: str,
        card_once: bool = False,
        keep_card: bool = False,
        allow_unknown: bool = False,
        attended: bool = False,
        apart: Sequence[str] = (),
        first: First | None = None,
        scheduled: bool = False,
        then: Then | None = None,
    ) -> record.Recorded:
        """Record one payment; the same key with the same content gives the first one again (R15).

        `card_once`: the card that `card_token` stands for was taken for this payment alone, as a `card` that is given
        always is: its number is dropped when no more attempt is to come (C2). `keep_card`: the customer agreed that the
        office keeps it for later payments; one that nobody would charge is not kept. `allow_unknown`: somebody with the
        right to it says that this one is charged although the outcome of an overlapping charge is unknown (R8a); both
        are meant then, as with `allow_overlap`. `attended`: somebody is at the screen who could answer a question of
        the gateway's; whoever gives a `card` always is. `apart`: what else the caller said of it,
        a part of its content (R15), as `keep_card` is. `scheduled`: it is the run of a schedule. `then` is told of the
        payment in the same transaction, when nothing speaks against it any more.
        A payment with `run_on` is charged on that day, with nobody there, and without a security code.
        Raises RequestRefused with all faults, KeyReused where the key stands for something else.
        """
        with self._engine.connect() as conn, conn.begin() as transaction:
            if first is not None:
                first(conn)
            now, today = self._moment(conn)
            request = _checked(asked, today, card)
            if allow_unknown:
                request = replace(request, allow_overlap=True)
            cards: dict[str, SealedCard] = {}
            if card is not None:
                if request.run_on:
                    card = replace(card, security_code=None)  # it would be gone by then (C2)
                sealed = self._seal(conn, card, request, now)
                request = replace(request, card_token=sealed.token)
                cards = {sealed.token: sealed}
            elif request.card_token:
                cards = self._vault.facts(conn, [request.card_token])
            once = request.card_token is not None and not keep_card and (card_once or card is not None)
            said = (*apart, *(["keep_card"] if keep_card else []))
            here = (attended or once or card is not None) and request.run_on is None
            origin = record.Origin(caller, by, card_once=once, attended=here, apart=said, scheduled=scheduled)
            [outcome] = record.record(
                conn, [request], cards, origin, self._route, now, today, self._when_owed_less, self._zone
            )
            if not isinstance(outcome, record.Recorded):
                raise _refusal(outcome)
            if not outcome.new:
                transaction.rollback()  # with it goes a card that was sealed once more
                return outcome
            fresh = admit.Fresh([outcome.payment_id], outcome.step == "charge")
            if refusals := admit.admit(conn, fresh, allow_unknown=allow_unknown):
                raise RequestRefused([refusal.fault for refusal in refusals])
            admit.announce(conn, fresh, now, by)
            if asked_by := traces.kept():
                traced.keep_payment(conn, outcome.payment_id, asked_by)
            if allow_unknown:
                admit.announce_although_unknown(conn, fresh, now, by)
            if request.run_on:
                plans.announce(conn, outcome.payment_id, request.run_on, now, by)
            if request.card_token:
                self._settle_card(conn, outcome, request.card_token, once, keep_card, now, by)
            if then is not None:
                then(conn, outcome.payment_id)
        _log.info("payment recorded", extra={"payment": outcome.payment_id, "step": outcome.step})
        if request_span := traces.current():
            request_span.say(payment=outcome.payment_id)
        if request.run_on is None:
            self._wake.payment(outcome.payment_id, outcome.step)
        return outcome

    def submit(
        self,
        requests: Iterable[Asked],
        *,
        label: str,
        caller: str,
        idempotency_key: str,
        by: str,
        skip_bad: bool = False,
    ) -> BatchReceipt:
        """Record a batch of any size: all of it or, with `skip_bad`, all its good rows. Rows are counted from 1.

        Handed in again under its key it records only what was not recorded before. Requests are read as a stream,
        inside one transaction: a stream that halts for a minute is given up by the database.
        """
        rows = (Row(row, asked) for row, asked in enumerate(requests, start=1))
        return self.submit_rows(
            rows, label=label, caller=caller, idempotency_key=idempotency_key, by=by, skip_bad=skip_bad
        )

    def submit_rows(
        self,
        rows: Iterable[Row],
        *,
        label: str,
        caller: str,
        idempotency_key: str,
        by: str,
        skip_bad: bool = False,
        refuse_alike: bool = False,
        first: First | None = None,
    ) -> BatchReceipt:
        """As `submit`, for rows that bring their numbers along and may be unreadable.

        `refuse_alike`: a row that asks for the very same as one before it is refused, whatever its key.
        """
        with self._engine.connect() as conn, conn.begin() as transaction:
            if first is not None:
                first(conn)
            now, today = self._moment(conn)
            batch_id = record.open_batch(conn, caller, idempotency_key, label, now, by)
            if asked_by := traces.kept():
                traced.keep_batch(conn, batch_id, asked_by)
            origin = record.Origin(caller, by, batch_id)
            taking = _Taking(conn, self._vault, self._route, origin, now, today, self._when_owed_less)
            for group in _groups(rows):
                taking.group(group)
            recorded = taking.admit(refuse_alike)
            refused = taking.refused
            taken = recorded > 0 and (skip_bad or not refused.count)
            if not taken:
                transaction.rollback()
        if not taken:
            known = self.find_batch(caller, idempotency_key)
            return BatchReceipt(known, 0, taking.repeated, refused.count, refused.in_order())
        _log.info("batch recorded", extra={"batch": batch_id, "counts": {"recorded": recorded}})
        if request_span := traces.current():
            request_span.say(batch=batch_id, recorded=recorded)
        for step, count in sorted(taking.steps.items()):
            self._wake.batch(batch_id, step, min(self._lanes, -(-count // LANE_PAYMENTS)))
        return BatchReceipt(batch_id, recorded, taking.repeated, refused.count, refused.in_order())

    def preview(self, asked: Asked) -> Preview:
        """How the sum would spread now (R9); needs neither key nor card. Raises RequestRefused with all faults."""
        with self._engine.connect() as conn:
            _, today = self._moment(conn)
            if isinstance(asked, Mapping):
                asked = {"idempotency_key": "preview", **asked}
            request = replace(_checked(asked, today, None), card_token=None, run_on=None)
            [resolved] = record.resolve(conn, [request], {}, lambda _brand, _request: None, today)
            if not isinstance(resolved, record.Resolved):
                raise RequestRefused(resolved)
            if not resolved.owed_minor and not request.as_credit:
                raise RequestRefused([admit.PAYS_NOTHING])
            return preview(conn, resolved)

    def keep_cards(self, cards: Sequence[Card], customer_id: int | None = None) -> list[SealedCard]:
        """Seal cards for requests that name them by their tokens; in the order given. `customer_id`: whose they are."""
        with self._engine.begin() as conn:
            return self._vault.seal(conn, cards, clock.now(conn), [customer_id] * len(cards))

    def find_batch(self, caller: str, idempotency_key: str) -> int | None:
        """The batch that was handed in under this key before, if any."""
        with self._engine.connect() as conn:
            return record.find_batch(conn, caller, idempotency_key)

    def _moment(self, conn: Connection) -> tuple[datetime, date]:
        now = clock.now(conn)
        return now, business_day(now, self._zone)

    def _settle_card(
        self, conn: Connection, recorded: record.Recorded, token: str, once: bool, keep: bool, now: datetime, by: str
    ) -> None:
        """What becomes of the card of a payment that was just recorded, under its customer's lock."""
        if kept_cards.was_removed(conn, token):
            raise RequestRefused([_REMOVED])
        if recorded.step == "post":
            if once or keep:
                self._vault.drop_keys(conn, [token])  # R7: it is never charged, so it need not be known
        elif keep:
            self._vault.drop_keys(conn, kept_cards.keep(conn, recorded.payment_id, now, by))

    def _seal(self, conn: Connection, card: Card, request: PaymentRequest, now: datetime) -> SealedCard:
        [sealed] = self._vault.seal(conn, [card], now)
        if self._route(card.brand, request) is None:
            self._vault.drop_keys(conn, [sealed.token])  # R7: it is never charged, so it need not be known
        return sealed


class _Taking:
    """A batch while it is being recorded: counts, and which payment came from which row."""

    def __init__(
        self,
        conn: Connection,
        vault: Vault,
        route: record.Route,
        origin: record.Origin,
        now: datetime,
        today: date,
        when_owed_less: WhenOwedLess,
    ) -> None:
        self._conn = conn
        self._vault = vault
        self._route = route
        self._origin = origin
        self._now = now
        self._today = today
        self._when_owed_less = when_owed_less
        # Side by side, eight bytes each: a row's number is asked for only where its payment is refused.
        self._ids = array("q")
        self._rows = array("q")
        self.repeated = 0
        self.steps: Counter[Step] = Counter()
        self.refused = RefusedRows()

    def group(self, group: Sequence[Row]) -> None:
        """Check and record some rows."""
        numbers: list[int] = []
        requests: list[PaymentRequest] = []
        for row, asked in group:
            checked = check(asked, self._today) if isinstance(asked, Mapping) else asked
            if isinstance(checked, PaymentRequest) and checked.run_on:
                self.refused.add(row, [_ALONE])
            elif isinstance(checked, PaymentRequest):
                numbers.append(row)
                requests.append(checked)
            else:
                self.refused.add(row, checked)
        tokens = list({request.card_token for request in requests if request.card_token})
        cards = self._vault.facts(self._conn, tokens) if tokens else {}
        outcomes = record.record(
            self._conn,
            requests,
            cards,
            self._origin,
            self._route,
            self._now,
            self._today,
            self._when_owed_less,
        )
        for row, outcome in zip(numbers, outcomes, strict=True):
            if not isinstance(outcome, record.Recorded):
                self.refused.add(row, outcome)
            elif outcome.new:
                self._ids.append(outcome.payment_id)
                self._rows.append(row)
                self.steps[outcome.step] += 1
            else:
                self.repeated += 1

    def admit(self, refuse_alike: bool) -> int:
        """Look at all that was recorded once more; the number of payments that passed."""
        fresh = admit.Fresh(self._ids, "charge" in self.steps, self._origin.batch_id)
        refusals = admit.admit(self._conn, fresh, refuse_alike)
        for refusal in refusals:
            self.refused.add(self._rows[bisect_left(self._ids, refusal.payment_id)], [refusal.fault])
        admit.drop(self._conn, refusals)
        admit.announce(self._conn, fresh, self._now, self._origin.by)
        return len(self._ids) - len(refusals)


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    names = 0
    for row in rows:
        group.append(row)
        names += _names(row.asked)
        if len(group) == GROUP_REQUESTS or names >= GROUP_NAMES:
            yield group
            group, names = [], 0
    if group:
        yield group


def _names(asked: Asked | Sequence[Fault]) -> int:
    named = asked.get("invoices") if isinstance(asked, Mapping) else getattr(asked, "invoices", None)
    return len(named) if isinstance(named, Sequence) else 0


def _checked(asked: Asked, today: date, card: Card | None) -> PaymentRequest:
    request = check(asked, today) if isinstance(asked, Mapping) else asked
    if not isinstance(request, PaymentRequest):
        raise RequestRefused(request)
    if card is not None:
        if fault := check_card_use(request.method, True):
            raise RequestRefused([fault])
        if request.card_token:
            raise RequestRefused([Fault("card_token", "", "given beside a card", "Give one of the two")])
    return request


def _refusal(faults: Sequence[Fault]) -> RequestRefused | KeyReused:
    if reused := next((fault for fault in faults if fault.problem == record.KEY_REUSED), None):
        return KeyReused(f"The idempotency key {reused.value} {reused.problem}.", f"{reused.remedy}.")
    return RequestRefused(faults)
