"""Schedules: made, paused, resumed, skipped and stopped by people; run by the clock, one row a date (D1).

A date becomes a row of `schedule_runs`, unique by schedule and date, in the transaction that records its payment. A
schedule's row is locked before its customer (B3), and nobody locks the two the other way round; who makes one, which
nobody else can have locked, locks the customer, so that none is made for one who is being erased.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books import holds
from books.claim import customers as lock_customers
from books.epoch import NOT_QUARANTINED
from books.history import tell
from books.lists import Page
from books.plans import PLANNED
from rules import schedules, states
from rules.calendar import begins, business_day
from rules.cards import expires_before
from rules.charging import WhenOwedLess
from rules.errors import Fault, KeyReused, MoveRefused, NotFound, RequestRefused, shown
from rules.methods import Method
from rules.requests import PaymentRequest
from rules.schedules import Rhythm, RunOutcome, ScheduleRequest, State, Unit

CALLER: Final = "schedule"
"""Whose keys the payments of schedules bear (R15): "7 2027-02-28"."""

BY: Final = "defray"
LATER: Final = timedelta(hours=1)
"""A date is tried again after so long while the outcome of a charge for the same invoices is unknown (R8a)."""

_UNDER_WAY: Final = ", ".join(f"'{state.value}'" for state in states.UNDER_WAY)
_RUNS_SHOWN: Final = 24


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule; `amount_minor` None: all that is owed on the day."""

    id: int
    customer: str
    currency: str
    amount_minor: int | None
    as_credit: bool
    card_brand: str
    card_last_four: str
    unit: str
    every: int
    month_day: int | None
    first_on: date
    until: date | None
    times: int | None
    state: str
    reason: str
    next_on: date | None
    payments_made: int
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one date."""

    due_on: date
    outcome: str
    why: str
    payment_id: int | None
    at: datetime


# ---- made and looked at ---------------------------------------------------------------------------------------------

_KNOWN = text("""
    SELECT id, content_digest FROM schedules WHERE caller = :caller AND idempotency_key = :key""")
_CUSTOMER = text("SELECT id FROM customers WHERE number = :number")
_CARD = text("""
    SELECT exp_month, exp_year FROM kept_cards
    WHERE customer_id = :customer_id AND token = :token AND removed_at IS NULL""")
_MAKE = text("""
    INSERT INTO schedules (customer_id, caller, idempotency_key, content_digest, currency, amount_minor, as_credit,
                           notes, card_token, unit, every, month_day, first_on, until, times, state, next_on, due_at,
                           created_at, created_by)
    VALUES (:customer_id, :caller, :key, :digest, :currency, :amount_minor, :as_credit, :notes, :card_token, :unit,
            :every, :month_day, :first_on, :until, :times, 'active', :first_on, :due_at, :now, :by)
    ON CONFLICT (caller, idempotency_key) DO NOTHING RETURNING id""")


def make(
    conn: Connection, asked: ScheduleRequest, caller: str, zone: tzinfo, now: datetime, by: str
) -> tuple[int, bool]:
    """Make a schedule: its id, and whether it is new; the same key and content gives the first one again (R15).

    Raises RequestRefused with all faults, KeyReused where the key stands for another one.
    """
    content = asked.digest()
    if (known := _known(conn, caller, asked.idempotency_key, content)) is not None:
        return known, False
    today = business_day(now, zone)
    rhythm = asked.rhythm(today)
    faults = [fault] if (fault := schedules.start_fault(asked, today)) else []
    customer_id = conn.execute(_CUSTOMER, {"number": asked.customer}).scalar_one_or_none()
    if customer_id is None:
        remedy = "Compare the number, or record the customer first"
        faults.append(Fault("customer", shown(asked.customer), "no such customer", remedy))
    else:
        lock_customers(conn, [customer_id])
        card = conn.execute(_CARD, {"customer_id": customer_id, "token": asked.card_token}).one_or_none()
        if card is None:
            faults.append(Fault("card_token", "", "not a card that this customer let us keep", "Keep the card first"))
        elif expires_before(card.exp_month, card.exp_year, rhythm.first_on):
            faults.append(Fault("card_token", "", "the card will have expired by the first date", "Keep a newer card"))
    if faults:
        raise RequestRefused(faults)
    made: int | None = conn.execute(
        _MAKE,
        {
            "customer_id": customer_id,
            "caller": caller,
            "key": asked.idempotency_key,
            "digest": content,
            "currency": asked.currency,
            "amount_minor": asked.amount_minor,
            "as_credit": asked.as_credit,
            "notes": asked.notes,
            "card_token": asked.card_token,
            "unit": rhythm.unit.value,
            "every": rhythm.every,
            "month_day": rhythm.month_day,
            "first_on": rhythm.first_on,
            "until": asked.until,
            "times": asked.times,
            "due_at": begins(rhythm.first_on, zone),
            "now": now,
            "by": by,
        },
    ).scalar_one_or_none()
    if made is None:  # somebody else used the key meanwhile
        known = _known(conn, caller, asked.idempotency_key, content)
        assert known is not None  # noqa: S101  # schedules are never deleted
        return known, False
    _tell(conn, "schedule.created", _read(conn, made), now, by, due_on=rhythm.first_on)
    return made, True


def _known(conn: Connection, caller: str, key: str, content: bytes) -> int | None:
    row = conn.execute(_KNOWN, {"caller": caller, "key": key}).one_or_none()
    if row is None:
        return None
    if bytes(row.content_digest) != content:
        raise KeyReused(f"The key {shown(key)} stands for another schedule.", "Draw a new key for a new schedule.")
    return int(row.id)


_SCHEDULE: Final = """
    SELECT s.id, c.number AS customer, s.currency, s.amount_minor, s.as_credit, k.brand AS card_brand,
           k.last_four AS card_last_four, s.unit, s.every, s.month_day, s.first_on, s.until, s.times, s.state, s.reason,
           s.next_on, s.payments_made, s.created_at, s.created_by
    FROM schedules s JOIN customers c ON c.id = s.customer_id JOIN kept_cards k ON k.token = s.card_token"""
ONE = text(f"{_SCHEDULE} WHERE s.id = :id AND (CAST(:only AS bigint) IS NULL OR s.customer_id = :only)")
ALL = text(f"{_SCHEDULE} WHERE s.id > :after ORDER BY s.id LIMIT :most")
OF_CUSTOMER = text(f"""
    {_SCHEDULE} WHERE (s.customer_id, s.id) > (:customer_id, :after) AND s.customer_id <= :customer_id
    ORDER BY s.customer_id, s.id LIMIT :most""")
OPEN_FIRST = text(f"""
    {_SCHEDULE} WHERE s.customer_id = :customer_id ORDER BY s.state = 'ended', s.id LIMIT :most""")
RUNS = text("""
    SELECT due_on, outcome, why, payment_id, at FROM schedule_runs WHERE schedule_id = :id
    ORDER BY due_on DESC LIMIT :most""")


def get(conn: Connection, schedule_id: int, only: int | None = None) -> Schedule:
    """A schedule, of the customer `only` where that is given. Raises NotFound."""
    row = conn.execute(ONE, {"id": schedule_id, "only": only}).one_or_none()
    if row is None:
        raise NotFound(f"There is no schedule {shown(schedule_id)}.", "Compare the id.")
    return Schedule(**row._mapping)


def some(conn: Connection, page: Page, customer_id: int | None = None) -> list[Schedule]:
    """All schedules, or a customer's, in the order in which they were made."""
    asked = {"after": page.after, "most": page.limit, "customer_id": customer_id}
    return [Schedule(**row._mapping) for row in conn.execute(ALL if customer_id is None else OF_CUSTOMER, asked)]


def of_customer(conn: Connection, customer_id: int, most: int) -> list[Schedule]:
    """A customer's, those that have not ended first: however many have, what goes on can be stopped."""
    asked = {"customer_id": customer_id, "most": most}
    return [Schedule(**row._mapping) for row in conn.execute(OPEN_FIRST, asked)]


def runs(conn: Connection, schedule_id: int, most: int = _RUNS_SHOWN) -> list[Run]:
    """What became of its latest dates, the latest first."""
    return [Run(**row._mapping) for row in conn.execute(RUNS, {"id": schedule_id, "most": most})]


# ---- what people do with one ----------------------------------------------------------------------------------------

_READ: Final = "SELECT s.*, c.number AS customer FROM schedules s JOIN customers c ON c.id = s.customer_id"
_ROW = text(f"{_READ} WHERE s.id = :id")
_LOCK = text(f"{_READ} WHERE s.id = :id FOR NO KEY UPDATE OF s")
_LOCK_IF_FREE = text(f"{_READ} WHERE s.id = :id AND {NOT_QUARANTINED} FOR NO KEY UPDATE OF s SKIP LOCKED")
_LOCK_TO_RUN = text(f"{_READ} WHERE s.id = :id AND {NOT_QUARANTINED} FOR NO KEY UPDATE OF s")
_STAND = text("""
    UPDATE schedules SET state = :state, reason = :reason, next_on = :next_on, due_at = :due_at,
                         payments_made = :made, resumed_at = :resumed_at WHERE id = :id""")
_LAST_DATE = text("SELECT max(due_on) FROM schedule_runs WHERE schedule_id = :id")


def pause(conn: Connection, schedule_id: int, reason: str, now: datetime, by: str, only: int | None = None) -> None:
    """No date is run until it is resumed; a payment that was made goes on. Raises NotFound and MoveRefused."""
    row = _locked(conn, schedule_id, only, State.ACTIVE)
    _pause(conn, row, reason, now, by)


def resume(conn: Connection, schedule_id: int, zone: tzinfo, now: datetime, by: str, only: int | None = None) -> None:
    """Go on with the first date from today that was not decided yet; those of the pause are gone.

    Raises NotFound and MoveRefused.
    """
    row = _locked(conn, schedule_id, only, State.PAUSED)
    last = conn.execute(_LAST_DATE, {"id": schedule_id}).scalar_one()
    yesterday = business_day(now, zone) - timedelta(days=1)
    following = _following(row, yesterday if last is None else max(last, yesterday), row.payments_made)
    _stand(conn, row, following, row.payments_made, zone, resumed_at=now)
    _tell(conn, "schedule.resumed", row, now, by, due_on=following)
    if following is None:
        _tell(conn, "schedule.ended", row, now, by)


def skip(
    conn: Connection, schedule_id: int, reason: str, zone: tzinfo, now: datetime, by: str, only: int | None = None
) -> date:
    """Pass over its next date, which is returned. Raises NotFound and MoveRefused."""
    row = _locked(conn, schedule_id, only, State.ACTIVE)
    passed: date = row.next_on
    _pass_over(conn, row, passed, reason, zone, now, by)
    return passed


def stop(conn: Connection, schedule_id: int, reason: str, now: datetime, by: str, only: int | None = None) -> None:
    """End it for good; a payment that was made goes on. Raises NotFound and MoveRefused."""
    row = _locked(conn, schedule_id, only, State.ACTIVE, State.PAUSED)
    _write(conn, row, State.ENDED, reason, None, None, row.payments_made, row.resumed_at)
    _tell(conn, "schedule.ended", row, now, by, reason)


def _locked(conn: Connection, schedule_id: int, only: int | None, *states_allowed: State) -> Row[Any]:
    row = conn.execute(_LOCK, {"id": schedule_id}).one_or_none()
    if row is None or only not in (None, row.customer_id):
        raise NotFound(f"There is no schedule {shown(schedule_id)}.", "Compare the id.")
    if row.state not in states_allowed:
        raise MoveRefused(f"The schedule is {row.state}.", f"Only one that is {' or '.join(states_allowed)} can be so.")
    return row


# ---- run by the clock -----------------------------------------------------------------------------------------------

DUE = text(f"""
    SELECT id FROM schedules WHERE due_at <= :now AND {NOT_QUARANTINED} ORDER BY due_at LIMIT :most""")
_LAST_DECLINED = text("""
    SELECT p.reason FROM (
        SELECT r.payment_id, r.at FROM schedule_runs r WHERE r.schedule_id = :id AND r.payment_id IS NOT NULL
        ORDER BY r.due_on DESC LIMIT 1) AS last
    JOIN payments p ON p.id = last.payment_id
    WHERE p.state = 'declined' AND last.at > coalesce(CAST(:resumed_at AS timestamptz), '-infinity')""")
_OWED = text(f"""
    SELECT CAST(
        (SELECT coalesce(sum(i.balance_minor), 0) FROM invoices i
         WHERE i.customer_id = :customer_id AND i.currency = :currency AND i.state = 'pending')
      - (SELECT coalesce(sum(p.total_minor), 0) FROM payments p
         WHERE p.customer_id = :customer_id AND p.currency = :currency AND p.gateway IS NOT NULL
           AND p.state IN ({_UNDER_WAY}) AND NOT {PLANNED}) AS bigint)""")
_RELEASED_AT = text("SELECT released_at FROM epoch")
_RUN = text("""
    INSERT INTO schedule_runs (schedule_id, due_on, outcome, why, payment_id, at, by)
    VALUES (:id, :due_on, :outcome, :why, :payment_id, :now, :by)""")
_PUT_OFF = text("UPDATE schedules SET due_at = :until WHERE id = :id AND due_at IS NOT NULL")
# The same card kept again has another token (books.kept_cards.keep).
CARD_BY_NOW = text("""
    SELECT n.token FROM kept_cards k
    JOIN kept_cards n ON n.customer_id = k.customer_id AND n.fingerprint = k.fingerprint
    WHERE k.token = :token AND n.removed_at IS NULL""")
_IS_CHARGED = text("SELECT gateway IS NOT NULL FROM payments WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Ask:
    """The payment that a date asks for."""

    schedule_id: int
    due_on: date
    request: PaymentRequest


class Overtaken(Exception):
    """Somebody else ran the date, or the schedule was changed, since it was looked at."""


def due(conn: Connection, now: datetime, most: int) -> Sequence[int]:
    """Schedules with a date that has come, those that wait longest first; none while quarantined (E7)."""
    return conn.execute(DUE, {"now": now, "most": most}).scalars().all()


def prepare(conn: Connection, schedule_id: int, zone: tzinfo, now: datetime) -> Ask | None:
    """Decide what becomes of the date that has come: the payment to ask for, or None where that is decided already.

    Dates before the latest are missed. The latest is passed over while the customer is on hold or owes nothing. A
    schedule whose last payment was declined for good is paused: the same card is not charged again unasked (R16).
    """
    row = conn.execute(_LOCK_IF_FREE, {"id": schedule_id}).one_or_none()
    if row is None or row.due_at is None or row.due_at > now:
        return None
    found = schedules.due(_rhythm(row), row.next_on, business_day(now, zone), row.until)
    if found is None:  # the business's zone is another by now
        _stand(conn, row, row.next_on, row.payments_made, zone)
        return None
    for missed in found.missed:
        _miss(conn, row, missed, "nobody ran it in time, and a later date has come", now)
    released_at = conn.execute(_RELEASED_AT).scalar_one_or_none()
    if released_at and max(row.created_at, begins(found.run_on, zone)) <= released_at:
        # E7: what was charged since the backup is not known here; who resumes a schedule since then knows no more.
        _miss(conn, row, found.run_on, "fell due before the release after a restore: it may have been charged", now)
        _stand(conn, row, _following(row, found.run_on, row.payments_made), row.payments_made, zone)
        return None
    if found.missed:
        _stand(conn, row, found.run_on, row.payments_made, zone)
    declined = conn.execute(_LAST_DECLINED, {"id": row.id, "resumed_at": row.resumed_at}).scalar_one_or_none()
    if declined is not None:
        _pause_itself(conn, row, f"its last payment was declined: {declined}", now)
        return None
    if hold := holds.of_customer(conn, row.customer_id, now):
        _pass_over(conn, row, found.run_on, f"the customer was on hold: {hold.reason}", zone, now, BY)
        return None
    owed = conn.execute(_OWED, {"customer_id": row.customer_id, "currency": row.currency}).scalar_one()
    amount_minor = schedules.to_ask(row.amount_minor, row.as_credit, owed)
    if not amount_minor:
        _pass_over(conn, row, found.run_on, "nothing was owed", zone, now, BY)
        return None
    renewed = conn.execute(CARD_BY_NOW, {"token": row.card_token}).scalar_one_or_none()
    request = PaymentRequest(
        idempotency_key=f"{row.id} {found.run_on.isoformat()}",
        customer=row.customer,
        method=Method.CREDIT_CARD,
        currency=row.currency,
        total_minor=amount_minor,
        notes=row.notes,
        as_credit=row.as_credit,
        allow_overlap=row.as_credit,
        when_owed_less=WhenOwedLess.CHARGE_REDUCED,
        card_token=renewed or row.card_token,
        recurring=True,
    )
    return Ask(row.id, found.run_on, request)


def claim(conn: Connection, ask: Ask) -> None:
    """Lock it in the transaction that records the payment. Raises Overtaken where its next date is another.

    So it does in a quarantine that has begun since it was looked at (E7).
    """
    row = conn.execute(_LOCK_TO_RUN, {"id": ask.schedule_id}).one_or_none()
    if row is None or row.next_on != ask.due_on:
        raise Overtaken


def made(conn: Connection, ask: Ask, payment_id: int, zone: tzinfo, now: datetime) -> None:
    """The date's payment was recorded. Raises RequestRefused where no gateway would charge it (R7)."""
    if not conn.execute(_IS_CHARGED, {"id": payment_id}).scalar_one():
        raise RequestRefused([Fault("card_token", "", "no gateway charges this card", "Configure one")])
    row = conn.execute(_ROW, {"id": ask.schedule_id}).one()
    _run(conn, row, ask.due_on, RunOutcome.PAYMENT, "", now, BY, payment_id)
    _stand(conn, row, _following(row, ask.due_on, row.payments_made + 1), row.payments_made + 1, zone)
    _tell(conn, "schedule.ran", row, now, BY, due_on=ask.due_on, payment_id=payment_id)
    if _following(row, ask.due_on, row.payments_made + 1) is None:
        _tell(conn, "schedule.ended", row, now, BY)


def refused(conn: Connection, ask: Ask, why: str, now: datetime) -> None:
    """The date's payment was refused: the schedule is paused, and a person is called. Raises Overtaken."""
    claim(conn, ask)
    row = conn.execute(_ROW, {"id": ask.schedule_id}).one()
    _run(conn, row, ask.due_on, RunOutcome.REFUSED, why, now, BY)
    _pause_itself(conn, row, why, now)


def put_off(conn: Connection, ask: Ask, now: datetime) -> None:
    """Try the date again later. Raises Overtaken."""
    claim(conn, ask)
    conn.execute(_PUT_OFF, {"id": ask.schedule_id, "until": now + LATER})


def set_aside(conn: Connection, schedule_id: int, error: str, now: datetime) -> None:
    """Leave one that the database refuses alone for an hour, with an alarm; `error`: its kind, never its text."""
    row = _read(conn, schedule_id)
    if row.due_at is not None:
        conn.execute(_PUT_OFF, {"id": schedule_id, "until": now + LATER})
    why = f"schedule {schedule_id} could not be run ({error}): a person must look"
    tell(conn, "alarm.schedule_set_aside", now, BY, why, customer_id=row.customer_id)


# ---- rows -----------------------------------------------------------------------------------------------------------


def _read(conn: Connection, schedule_id: int) -> Row[Any]:
    return conn.execute(_ROW, {"id": schedule_id}).one()


def _rhythm(row: Row[Any]) -> Rhythm:
    return Rhythm(Unit(row.unit), row.every, row.first_on, row.month_day)


def _following(row: Row[Any], day: date, payments_made: int) -> date | None:
    return schedules.next_after(_rhythm(row), day, row.until, row.times, payments_made)


def _pass_over(conn: Connection, row: Row[Any], due_on: date, why: str, zone: tzinfo, now: datetime, by: str) -> None:
    following = _following(row, due_on, row.payments_made)
    _run(conn, row, due_on, RunOutcome.SKIPPED, why, now, by)
    _stand(conn, row, following, row.payments_made, zone)
    _tell(conn, "schedule.skipped", row, now, by, why, due_on=due_on)
    if following is None:
        _tell(conn, "schedule.ended", row, now, by)


def _miss(conn: Connection, row: Row[Any], due_on: date, why: str, now: datetime) -> None:
    _run(conn, row, due_on, RunOutcome.MISSED, why, now, BY)
    _tell(conn, "schedule.missed", row, now, BY, why, due_on=due_on)


def _pause(conn: Connection, row: Row[Any], reason: str, now: datetime, by: str) -> None:
    _write(conn, row, State.PAUSED, reason, None, None, row.payments_made, row.resumed_at)
    _tell(conn, "schedule.paused", row, now, by, reason)


def _pause_itself(conn: Connection, row: Row[Any], why: str, now: datetime) -> None:
    _pause(conn, row, why, now, BY)
    tell(conn, "alarm.schedule_paused", now, BY, f"schedule {row.id}: {why}", customer_id=row.customer_id)


def _stand(
    conn: Connection,
    row: Row[Any],
    next_on: date | None,
    payments_made: int,
    zone: tzinfo,
    resumed_at: datetime | None = None,
) -> None:
    """The schedule goes on with this date, or has ended with the last one."""
    resumed_at = resumed_at or row.resumed_at
    if next_on is None:
        _write(conn, row, State.ENDED, "its last date has come", None, None, payments_made, resumed_at)
    else:
        _write(conn, row, State.ACTIVE, "", next_on, begins(next_on, zone), payments_made, resumed_at)


def _write(
    conn: Connection,
    row: Row[Any],
    state: State,
    reason: str,
    next_on: date | None,
    due_at: datetime | None,
    payments_made: int,
    resumed_at: datetime | None,
) -> None:
    values = {"state": state.value, "reason": reason, "next_on": next_on, "due_at": due_at}
    conn.execute(_STAND, {"id": row.id, **values, "made": payments_made, "resumed_at": resumed_at})


def _run(
    conn: Connection,
    row: Row[Any],
    due_on: date,
    outcome: RunOutcome,
    why: str,
    now: datetime,
    by: str,
    payment_id: int | None = None,
) -> None:
    values = {"due_on": due_on, "outcome": outcome.value, "why": why, "payment_id": payment_id, "now": now, "by": by}
    conn.execute(_RUN, {"id": row.id, **values})


def _tell(
    conn: Connection,
    what: str,
    row: Row[Any],
    now: datetime,
    by: str,
    why: str = "",
    due_on: date | None = None,
    payment_id: int | None = None,
) -> None:
    details = {"id": row.id, "due_on": due_on.isoformat() if due_on else None}
    tell(conn, what, now, by, why, customer_id=row.customer_id, payment_id=payment_id, details={"schedule": details})
