"""What the clock sets going: payments planned for a day, schedules, and holds, while which it sets none going."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from books import epoch, holds, kept_cards, plans, schedules, void_invoice
from books.lists import Page
from producer import Producer
from producer import scheduled as scheduled_runs
from rules.calendar import begins
from rules.errors import KeyReused, MoveRefused, NotFound, RequestRefused
from rules.requests import KEY_MAX
from rules.routes import chooser
from rules.schedules import ScheduleRequest, check
from sandbox.client import reset
from tasks import schedule as task
from tests.flows.house import VISA, House, card, refused_by_the_database

DECLINED = "4000050000010006"
DAY = timedelta(days=1)
WAITS_FOR_A_LOCK = """
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
    AND query LIKE '%FROM customers%'"""


# ---- the scene ------------------------------------------------------------------------------------------------------


def today(house: House) -> date:
    with house.context.transaction() as (_, now):
        return house.context.terms.today(now)


def until_day(house: House, day: date, *, seconds: float = 60) -> None:
    """Let the clocks go on to just after a business day begins (before it: `seconds` below 0)."""
    with house.context.transaction() as (_, now):
        left = begins(day, house.context.terms.zone) + timedelta(seconds=seconds) - now
    house.advance(seconds=left.total_seconds())


def keep(house: House) -> str:
    """A customer with a kept card, whose first invoice it paid; the card's token."""
    house.bill("C-1", {"A": 500, "B": 3_000, "C": 3_000})
    return kept(house, invoices=["A"])


def kept(house: House, **fields: object) -> str:
    """The token of a card that the customer lets the office keep with a payment."""
    asked = {"method": "credit_card", "currency": "USD", "customer": "C-1", "amount_minor": 500, **fields}
    house.producer.pay({**asked, "idempotency_key": next(house.keys)}, card(), caller="shop", by="ann", keep_card=True)
    house.work()
    return str(house.row("SELECT token FROM kept_cards WHERE removed_at IS NULL").token)


def asked(token: str, **fields: object) -> ScheduleRequest:
    amount = {} if "all_owed" in fields else {"amount_minor": 1_000}
    said = {"idempotency_key": "s", "customer": "C-1", "currency": "USD", "card_token": token, "unit": "month"}
    checked = check({**said, **amount, **fields})
    assert isinstance(checked, ScheduleRequest), checked
    return checked


def make(house: House, token: str, **fields: object) -> int:
    with house.context.transaction() as (conn, now):
        return schedules.make(conn, asked(token, **fields), "shop", house.context.terms.zone, now, "ann")[0]


def do(house: House, act: Any, schedule_id: int, *args: object) -> Any:
    with house.context.transaction() as (conn, now):
        zone = () if act in (schedules.pause, schedules.stop) else (house.context.terms.zone,)
        return act(conn, schedule_id, *args, *zone, now, "sue")


def look(house: House, schedule_id: int) -> schedules.Schedule:
    with house.engine.connect() as conn:
        return schedules.get(conn, schedule_id)


def runs(house: House, schedule_id: int) -> list[tuple[date, str]]:
    with house.engine.connect() as conn:
        return [(run.due_on, run.outcome) for run in reversed(schedules.runs(conn, schedule_id))]


def scheduled(house: House) -> list[Any]:
    """The payments that schedules made, in their order."""
    return house.rows("SELECT * FROM payments WHERE caller = 'schedule' ORDER BY id")


def tick(house: House) -> str:
    """The sweeper finds what is due, and the task runs it; then the cards are charged."""
    said = task.work(house.context)
    house.work()
    return said


def told(house: House, prefix: str) -> list[str]:
    rows = house.rows("SELECT what FROM events WHERE starts_with(what, :prefix) ORDER BY id", prefix=prefix)
    return [row.what.removeprefix(prefix) for row in rows]


# ---- payments planned for a later day -------------------------------------------------------------------------------


def test_a_planned_payment_is_charged_on_its_day(house: House) -> None:
    """R5: recorded now, charged when its day begins in the business's zone, and not before; nobody is there then."""
    house.bill("C-1", {"A": 6_000})
    day = today(house) + 3 * DAY
    payment = house.pay(6_000, card(), run_on=day.isoformat())
    row = house.payment(payment)
    assert (row.state, row.run_on, row.initiated_by, row.attended) == ("requested", day, "planned", False)
    until_day(house, day, seconds=-60)
    house.work()
    assert house.state(payment) == "requested"
    until_day(house, day)
    assert "single payments to charge" in house.sweep()
    house.work()
    assert (house.state(payment), house.payment(payment).post_date) == ("posted", day)
    assert told(house, "payment.s") == ["cheduled"]


def test_a_planned_payment_bars_nothing_and_looks_again(house: House) -> None:
    """R8, R8a: until its day others may pay or void its invoice; on its day it is not charged for what is not owed."""
    house.bill("C-1", {"A": 6_000, "B": 500})
    day = today(house) + 2 * DAY
    planned = house.pay(6_000, card(), invoices=["A"], run_on=day.isoformat())
    for_b = house.pay(500, card(), invoices=["B"], run_on=day.isoformat())
    assert house.pay(6_000, card(), invoices=["A"])
    house.work()
    with house.context.transaction() as (conn, now):
        invoice = conn.execute(text("SELECT id FROM invoices WHERE number = 'B'")).scalar_one()
        void_invoice.void_invoice(conn, invoice, "by mistake", now, "sue")
    until_day(house, day)
    house.work()
    for payment in (planned, for_b):
        assert (house.state(payment), house.payment(payment).reason) == ("cancelled", "no longer owed")
        assert house.sales(payment) == []


def test_two_planned_for_one_invoice_charge_it_once(house: House) -> None:
    """R8a: planned side by side and due at once, the second finds nothing owed."""
    house.bill("C-1", {"A": 6_000})
    day = (today(house) + 2 * DAY).isoformat()
    both = [house.pay(6_000, card(), invoices=["A"], run_on=day) for _ in range(2)]
    until_day(house, date.fromisoformat(day))
    house.work()
    house.advance(minutes=20)
    house.work()
    assert sorted(map(house.state, both)) == ["cancelled", "posted"]
    assert house.sandbox.client.card(VISA).net == 6_000


def test_a_planned_payment_is_moved_or_cancelled(house: House) -> None:
    """R13: until its day it can be moved or cancelled; once it was charged, neither."""
    house.bill("C-1", {"A": 6_000, "B": 500})
    zone, day = house.context.terms.zone, today(house) + 2 * DAY
    moved = house.pay(6_000, card(), invoices=["A"], run_on=day.isoformat())
    cancelled = house.pay(500, card(), invoices=["B"], run_on=day.isoformat())

    def move(payment: int, to: date, only: int | None = None) -> None:
        with house.context.transaction() as (conn, now):
            plans.move(conn, payment, to, zone, now, "sue", only)

    move(moved, day + DAY)
    with pytest.raises(RequestRefused, match="not after today"):
        move(moved, today(house))
    house.do("UPDATE payments SET card_exp_year = 2026, card_exp_month = 1 WHERE id = :id", id=cancelled)
    with pytest.raises(RequestRefused, match="expired by then"):
        move(cancelled, day + DAY)
    with pytest.raises(NotFound):
        move(moved, day + DAY, 0)
    assert house.cancel(cancelled)
    until_day(house, day)
    house.work()
    assert house.state(moved) == "requested"
    until_day(house, day + DAY)
    house.work()
    assert (house.state(moved), house.state(cancelled)) == ("posted", "cancelled")
    with pytest.raises(MoveRefused, match="it is posted"):
        move(moved, day + 9 * DAY)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"run_on": "2020-01-01"}, "not after today"),
        ({"run_on": "2099-01-01"}, "more than twenty years"),
        ({"run_on": "soon"}, "not a day"),
    ],
)
def test_days_that_nothing_can_be_planned_for(house: House, fields: dict[str, str], fault: str) -> None:
    """A card is planned to be charged later than today, within the years that cards are valid."""
    house.bill("C-1", {"A": 6_000})
    with pytest.raises(RequestRefused, match=fault):
        house.pay(6_000, card(), **fields)


def test_only_a_card_is_planned(house: House) -> None:
    """R7: what no gateway charges cannot be charged later; a batch is charged as soon as can be."""
    house.bill("C-1", {"A": 6_000})
    later = (today(house) + DAY).isoformat()
    with pytest.raises(RequestRefused, match="takes no card"):
        house.pay(6_000, run_on=later)
    row = {
        "idempotency_key": "k",
        "customer": "C-1",
        "method": "credit_card",
        "currency": "USD",
        "amount_minor": 1,
        "card_token": "card_x",
        "run_on": later,
    }
    receipt = house.producer.submit([row], label="x", caller="shop", idempotency_key="b", by="ann")
    assert [fault.field for fault in receipt.refused[0].faults] == ["run_on"]


def test_the_same_plan_again_is_the_same_payment(house: House) -> None:
    """R15: also when its day has come; another day under the same key is another content."""
    house.bill("C-1", {"A": 6_000})
    day = today(house) + DAY
    said: dict[str, Any] = {"idempotency_key": "k", "invoices": ["A"], "run_on": day.isoformat()}
    first = house.pay(6_000, card(), **said)
    until_day(house, day)
    assert house.pay(6_000, card(), **said) == first
    with pytest.raises(KeyReused):
        house.pay(6_000, card(), **{**said, "run_on": (day + DAY).isoformat()})


# ---- schedules ------------------------------------------------------------------------------------------------------


def test_a_schedule_charges_the_kept_card_each_month(house: House) -> None:
    """R15: one payment a date, under a key made of both; told to the network as one of a series (C4)."""
    token = keep(house)
    schedule = make(house, token, times=2)
    first = today(house)
    assert "schedules" in house.sweep()
    assert tick(house) == "schedules: 1 payments"
    assert tick(house) == "no schedule is due"
    [made] = scheduled(house)
    assert (made.state, made.charged_minor, made.initiated_by) == ("posted", 1_000, "schedule")
    assert (made.recurring, made.attended, made.idempotency_key) == (True, False, f"{schedule} {first}")
    following = look(house, schedule).next_on
    assert following is not None
    until_day(house, following, seconds=-60)
    assert tick(house) == "no schedule is due"
    until_day(house, following)
    assert tick(house) == "schedules: 1 payments"
    assert (look(house, schedule).state, look(house, schedule).payments_made) == ("ended", 2)
    assert runs(house, schedule) == [(first, "payment"), (following, "payment")]
    assert told(house, "schedule.") == ["created", "ran", "ran", "ended"]
    assert len(made.idempotency_key) <= KEY_MAX


def test_two_ticks_at_once_and_a_flushed_redis_make_one_payment(house: House) -> None:
    """D3, D4: what is due stands in the row; who comes second finds nothing, however many look."""
    token = keep(house)
    for place in range(3):
        make(house, token, idempotency_key=f"s{place}", amount_minor=100)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: task.work(house.context), range(4)))
    while task.work(house.context) != "no schedule is due":
        pass
    assert [row.total_minor for row in scheduled(house)] == [100] * 3
    house.work()


def test_who_comes_between_look_and_payment_wins(house: House) -> None:
    """A schedule that is paused, or run by another, after it was looked at makes no second payment for the date."""
    schedule = make(house, keep(house))
    with house.context.transaction() as (conn, now):
        ask = schedules.prepare(conn, schedule, house.context.terms.zone, now)
    assert ask is not None
    do(house, schedules.pause, schedule, "moved house")
    with house.context.transaction() as (conn, now):
        with pytest.raises(schedules.Overtaken):
            schedules.claim(conn, ask)
        with pytest.raises(schedules.Overtaken):
            schedules.put_off(conn, ask, now)
        with pytest.raises(schedules.Overtaken):
            schedules.refused(conn, ask, "no", now)
    assert tick(house) == "no schedule is due"


def test_an_outage_is_made_up_for_by_one_run(house: House) -> None:
    """After weeks in which nobody looked the latest date is run once; those before it are told of and never run."""
    schedule = make(house, keep(house), unit="week", amount_minor=100)
    first = today(house)
    house.advance(days=17)
    assert tick(house) == "schedules: 1 payments"
    assert runs(house, schedule) == [
        (first, "missed"),
        (first + 7 * DAY, "missed"),
        (first + 14 * DAY, "payment"),
    ]
    assert look(house, schedule).next_on == first + 21 * DAY
    assert told(house, "schedule.m") == ["issed", "issed"]


def test_all_that_is_owed_and_nothing_owed(house: House) -> None:
    """R8: all that is owed on the day, less what is under way; a day on which nothing is owed is passed over."""
    token = keep(house)
    schedule = make(house, token, all_owed=True, unit="week")
    house.pay(1_500, card(DECLINED), invoices=["B"])
    house.charge()
    tick(house)
    [made] = scheduled(house)
    assert made.total_minor == 6_000 - 1_500
    house.do("UPDATE payments SET due_at = due_at + interval '9 days' WHERE state = 'retrying'")
    following = look(house, schedule).next_on
    assert following is not None
    until_day(house, following)
    assert tick(house) == "schedules: 1 decided"
    assert runs(house, schedule)[-1] == (following, "skipped")


def test_a_fixed_amount_is_no_more_than_is_owed(house: House) -> None:
    """R8: unless the excess is to become a credit."""
    token = keep(house)
    make(house, token, amount_minor=9_000)
    make(house, token, idempotency_key="t", amount_minor=200, as_credit=True, start=(today(house) + DAY).isoformat())
    tick(house)
    until_day(house, today(house) + DAY)
    tick(house)
    assert [row.charged_minor for row in scheduled(house)] == [6_000, 200]
    assert house.credit() == 200


def test_pause_resume_skip_and_stop(house: House) -> None:
    """A person lets dates pass; those of a pause are not made up for."""
    schedule = make(house, keep(house), unit="week", amount_minor=100)
    first = today(house)
    assert do(house, schedules.skip, schedule, "asked to") == first
    assert look(house, schedule).next_on == first + 7 * DAY
    do(house, schedules.pause, schedule, "on holiday")
    with pytest.raises(MoveRefused):
        do(house, schedules.skip, schedule, "twice")
    house.advance(days=15)
    assert tick(house) == "no schedule is due"
    do(house, schedules.resume, schedule)
    assert look(house, schedule).next_on == first + 21 * DAY
    do(house, schedules.stop, schedule, "moved away")
    for act, why in ((schedules.stop, ["again"]), (schedules.resume, []), (schedules.pause, ["again"])):
        with pytest.raises(MoveRefused, match="ended"):
            do(house, act, schedule, *why)
    house.advance(days=30)
    assert tick(house) == "no schedule is due"
    assert scheduled(house) == []
    assert told(house, "schedule.") == ["created", "skipped", "paused", "resumed", "ended"]
    goes_on = make(house, str(house.row("SELECT token FROM kept_cards").token), idempotency_key="t")
    with house.engine.connect() as conn:
        customer = conn.execute(text("SELECT customer_id FROM schedules WHERE id = :id"), {"id": schedule}).scalar_one()
        assert [one.id for one in schedules.of_customer(conn, customer, 1)] == [goes_on]


def test_a_resumed_schedule_runs_no_date_twice(house: House) -> None:
    """Paused and resumed on the very day that was run, it goes on with the next."""
    schedule = make(house, keep(house), unit="week", amount_minor=100)
    tick(house)
    do(house, schedules.pause, schedule, "wait")
    do(house, schedules.resume, schedule)
    assert tick(house) == "no schedule is due"
    assert look(house, schedule).next_on == today(house) + 7 * DAY


def test_a_declined_payment_pauses_the_schedule(house: House) -> None:
    """R16: after a final no the card is not charged again unasked; a person's word goes on with the next date."""
    schedule = make(house, keep(house), unit="week", amount_minor=100)
    tick(house)
    house.do("UPDATE payments SET state = 'declined' WHERE caller = 'schedule'")
    house.advance(days=7)
    assert tick(house) == "schedules: 1 decided"
    assert (look(house, schedule).state, len(scheduled(house))) == ("paused", 1)
    assert "alarm.schedule_paused" in house.alarms()
    do(house, schedules.resume, schedule)
    assert tick(house) == "schedules: 1 payments"
    house.do("UPDATE payments SET state = 'posted' WHERE state = 'declined'")


def test_a_card_that_was_removed_pauses_the_schedule(house: House) -> None:
    """A payment that is refused is one date's end, and a person's matter."""
    schedule = make(house, keep(house))
    house.do("UPDATE kept_cards SET removed_at = now(), removed_by = 'ann'")
    assert tick(house) == "schedules: 1 refused"
    assert look(house, schedule).reason.startswith("card_token: the card is not kept any more")
    assert runs(house, schedule) == [(today(house), "refused")]
    assert scheduled(house) == []


def test_an_unknown_outcome_puts_a_date_off(house: House) -> None:
    """R8a: while nobody knows whether a charge for the same invoices was made, the date waits an hour."""
    schedule = make(house, keep(house), amount_minor=100)
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    unknown = house.pay(2_000, card("5555555555554444"), invoices=["B"])
    house.charge()
    assert house.sales(unknown) == ["unknown"]
    assert task.work(house.context) == "schedules: 1 put off"
    assert (look(house, schedule).state, runs(house, schedule)) == ("active", [])
    house.advance(hours=2)
    house.work()
    assert tick(house) == "schedules: 1 payments"


def test_a_schedule_that_the_database_refuses_stops_no_other(house: House) -> None:
    """One that cannot be recorded is set aside for an hour, with an alarm; its neighbours are run."""
    token = keep(house)
    poisoned, other = (make(house, token, idempotency_key=key, amount_minor=100) for key in ("s", "t"))
    with refused_by_the_database(house, "schedule_runs", f"schedule_id = {poisoned}"):
        assert tick(house) == "schedules: 1 payments, 1 set aside"
        assert tick(house) == "no schedule is due"
    assert (runs(house, poisoned), len(runs(house, other)), len(scheduled(house))) == ([], 1, 1)
    assert house.alarms() == ["alarm.schedule_set_aside"]
    house.advance(hours=2)
    assert tick(house) == "schedules: 1 payments"


def test_what_a_schedule_is_refused_for(house: House) -> None:
    """R15: its customer's own kept card, a day to come; the same key is the same schedule."""
    token = keep(house)
    zone = house.context.terms.zone
    house.do("UPDATE kept_cards SET exp_year = :year, exp_month = 12", year=today(house).year)
    late = today(house) + 400 * DAY
    for request, field in (
        (asked(token, customer="C-9"), "customer"),
        (asked("card_of_nobody"), "card_token"),
        (asked(token, start="2020-01-01"), "start"),
        (asked(token, start=late.isoformat(), month_day=1), "card_token"),
    ):
        with house.context.transaction() as (conn, now), pytest.raises(RequestRefused) as refusal:
            schedules.make(conn, request, "shop", zone, now, "ann")
        assert [fault.field for fault in refusal.value.faults] == [field]
    first = make(house, token)
    assert make(house, token) == first
    with pytest.raises(KeyReused):
        make(house, token, times=3)
    with house.engine.connect() as conn:
        assert [one.id for one in schedules.some(conn, Page(0, 5))] == [first]
        with pytest.raises(NotFound):
            schedules.get(conn, first, 0)


def restored(house: House) -> None:
    """A minute later the database was restored, looked at in vain, and released."""
    house.advance(minutes=1)
    with house.context.transaction() as (conn, now):
        conn.execute(text("UPDATE epoch SET quarantined_at = :now, quarantined_why = 'restored'"), {"now": now})
    house.context.guard._look_at = 0.0
    assert tick(house) == "no schedule is due"
    with house.context.transaction() as (conn, now):
        epoch.release(conn, house.context.guard._witness, "reconciled", now, "sue")
    house.context.guard._look_at = 0.0


def test_a_restored_database_runs_no_date_of_before(house: House) -> None:
    """E7: while it is quarantined nothing is run; dates before the release may have been charged: missed."""
    schedule = make(house, keep(house), unit="week", amount_minor=100)
    first = today(house)
    restored(house)
    assert tick(house) == "schedules: 1 decided"
    assert runs(house, schedule) == [(first, "missed")]
    house.advance(days=7)
    assert tick(house) == "schedules: 1 payments"


def test_resumed_after_a_restore_no_date_of_before_is_run(house: House) -> None:
    """E7: paused in the backup, the schedule may have been resumed and run since, on the very day of the restore."""
    schedule = make(house, keep(house))
    do(house, schedules.pause, schedule, "moved house")
    restored(house)
    do(house, schedules.resume, schedule)
    assert tick(house) == "schedules: 1 decided"
    assert runs(house, schedule) == [(today(house), "missed")]


@pytest.mark.parametrize("meanwhile", ["quarantine", "paid", "paid in part"])
def test_what_happens_between_look_and_payment(house: House, meanwhile: str) -> None:
    """E7, R8: the date is looked at once more: none is asked for in a quarantine, and none is refused for good."""
    schedule = make(house, keep(house), all_owed=True)
    terms = house.context.terms
    with house.context.transaction() as (conn, now):
        ask = schedules.prepare(conn, schedule, terms.zone, now)
    assert ask is not None
    if meanwhile == "quarantine":
        house.do("UPDATE epoch SET quarantined_at = now(), quarantined_why = 'restored'")
    else:
        house.pay(6_000 if meanwhile == "paid" else 2_000, card(DECLINED), as_credit=True)
    producer = Producer(house.engine, house.context.vault, scheduled_runs.Quiet(), chooser(terms.routes), terms.zone)

    def run() -> str:
        return scheduled_runs._ask(house.engine, producer, terms.zone, ask, lambda conn, now: None)

    if meanwhile == "paid":
        assert run() == "decided"
        assert runs(house, schedule) == [(today(house), "skipped")]
    else:
        with pytest.raises(schedules.Overtaken):
            run()
    assert (look(house, schedule).state, scheduled(house)) == ("active", [])
    house.do("UPDATE epoch SET quarantined_at = NULL, quarantined_why = NULL")
    if meanwhile == "paid in part":
        assert tick(house) == "schedules: 1 payments"
        assert [row.total_minor for row in scheduled(house)] == [4_000]


def test_a_card_that_is_kept_again_is_charged_by_the_schedule(house: House) -> None:
    """A renewed card, or the same one kept once more, takes the other's place; another card does not."""
    schedule = make(house, keep(house), unit="week", amount_minor=100)
    token = kept(house, invoices=["B"])
    tick(house)
    assert [(row.card_token, row.state) for row in scheduled(house)] == [(token, "posted")]
    house.do("UPDATE kept_cards SET fingerprint = 'another' WHERE removed_at IS NULL")
    house.advance(days=7)
    assert tick(house) == "schedules: 1 refused"
    assert look(house, schedule).state == "paused"


def test_a_sum_for_a_credit_is_charged_beside_another(house: House) -> None:
    """R8a: what may become a credit is meant whatever else is under way for the invoices; only an unknown bars it."""
    make(house, keep(house), as_credit=True)
    house.pay(6_000, card(DECLINED), invoices=["B", "C"])
    house.charge()
    assert tick(house) == "schedules: 1 payments"
    assert [row.charged_minor for row in scheduled(house)] == [1_000]


def test_another_zone_of_the_business(house: House) -> None:
    """D2: where the day has not begun yet the date waits for it, and is not looked at again and again."""
    schedule = make(house, keep(house), start=(today(house) + DAY).isoformat())
    house.do("UPDATE schedules SET due_at = now()")
    assert tick(house) == "schedules: 1 decided"
    assert tick(house) == "no schedule is due"
    until_day(house, today(house) + DAY)
    assert tick(house) == "schedules: 1 payments"
    assert len(runs(house, schedule)) == 1


def test_none_is_made_for_a_customer_who_is_being_erased(house: House) -> None:
    """B3: who makes one waits for the customer's lock, and finds the card gone."""
    token = keep(house)
    with ThreadPoolExecutor(1) as pool:
        with house.context.transaction() as (conn, now):
            customer = conn.execute(text("SELECT id, customer_id FROM kept_cards")).one()
            kept_cards.remove(conn, customer.customer_id, customer.id, now, "sue")
            made = pool.submit(make, house, token)
            while not (made.done() or house.rows(WAITS_FOR_A_LOCK)):
                pass
        with pytest.raises(RequestRefused, match="not a card that this customer let us keep"):
            made.result()


# ---- holds ----------------------------------------------------------------------------------------------------------


def hold(house: House, last_day: date | None = None) -> int:
    customer_id = int(house.row("SELECT id FROM customers WHERE number = 'C-1'").id)
    with house.context.transaction() as (conn, now):
        holds.place(conn, customer_id, "moved away", last_day, house.context.terms.zone, now, "sue")
    return customer_id


def test_a_hold_lets_nothing_be_charged_by_itself(house: House) -> None:
    """Retries, planned payments and batches wait, schedules pass their date over; who is there is charged."""
    token = keep(house)
    house.bill("C-2", {"A": 100})
    retried = house.pay(1_000, card(DECLINED), invoices=["B"])
    house.charge()
    planned = house.pay(500, card_token=token, invoices=["C"], run_on=(today(house) + DAY).isoformat())
    by_app = house.pay(500, card_token=token, invoices=["C"])
    other = house.pay(100, card(), customer="C-2")
    schedule = make(house, token, unit="week", amount_minor=100)
    customer = hold(house)
    house.advance(days=8)
    tick(house)
    assert [house.state(one) for one in (retried, planned, by_app, other)] == [
        "retrying",
        "requested",
        "requested",
        "posted",
    ]
    assert house.payment(planned).reason == holds.WAITS
    assert [outcome for _, outcome in runs(house, schedule)] == ["missed", "skipped"]
    there = house.pay(700, card("5555555555554444"), invoices=["C"])
    house.work()
    assert house.state(there) == "posted"
    with house.context.transaction() as (conn, now):
        assert holds.lift(conn, customer, now, "sue") == 3
    house.work()
    assert [house.state(one) for one in (planned, by_app)] == ["posted", "posted"]
    assert house.sales(retried) == ["declined", "approved"]
    assert told(house, "customer.") == ["created"] * 2 + ["held", "released"]


def test_a_hold_ends_by_itself_and_is_replaced(house: House) -> None:
    """It ends with a day of the business, to the minute; the one that is placed last counts."""
    token = keep(house)
    hold(house)
    last_day = today(house) + DAY
    customer = hold(house, last_day)
    waits = house.pay(500, card_token=token, invoices=["B"])
    house.work()
    assert house.state(waits) == "requested"
    until_day(house, last_day + DAY, seconds=-60)
    house.work()
    assert house.state(waits) == "requested"
    until_day(house, last_day + DAY)
    house.work()
    assert house.state(waits) == "posted"
    with house.context.transaction() as (conn, now):
        assert holds.of_customer(conn, customer, now) is None
    with house.context.transaction() as (conn, now), pytest.raises(MoveRefused, match="not on hold"):
        holds.lift(conn, customer, now, "sue")
    with pytest.raises(RequestRefused, match="not within ten years"):
        hold(house, last_day)
