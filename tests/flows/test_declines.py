"""Declines are retried by the networks' rules, failures until the gateway is back (R16)."""

from __future__ import annotations

import itertools
from calendar import monthrange
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from books import sweep
from rules.cards import Card
from sandbox.client import answer, edit, page
from tests.flows.house import AMEX, VISA, House, build, card, settings_for

FUNDS_LATER = "4000050000010006"
"""Declined once for insufficient funds, then approved."""
NO_FUNDS, NOT_HONOURED, UNAVAILABLE = "4000000000009995", "4000000000000002", "4000000000000911"
NEVER = {
    "stolen": "4000000000009979",
    "lost": "4000000000009987",
    "no such account": "4000000000000051",
    "expired": "4000000000000069",
    "wrong security code": "4000000000000127",
    "refused by fraud filters": "4100000000000019",
    "call the issuer": "4000000000000101",
}
MASTERCARD = "5555555555554444"


def asked(house: House, number: str, amount: int = 6000, **fields: Any) -> int:
    """A payment by this card, tried once."""
    payment = house.pay(amount, card(number), **fields)
    house.charge()
    return payment


def days_pass(house: House, days: int) -> None:
    """Workers look every day at noon, when the morning's attempts are due: a later look would shift the next ones."""
    for _ in range(days):
        now = house.row("SELECT now() + ahead AS now FROM clock").now.astimezone(ZoneInfo("America/New_York"))
        noon = now.replace(hour=12, minute=0, second=0, microsecond=0)
        house.advance(seconds=((noon - now).total_seconds() - 1) % 86_400 + 1)
        house.work()


def references(house: House, payment: int) -> list[int]:
    """The merchant references of a payment's sales."""
    rows = house.rows("SELECT reference FROM gateway_transactions WHERE payment_id = :id ORDER BY id", id=payment)
    return [row.reference for row in rows]


def waits(house: House, payment: int) -> timedelta:
    """How long until the next attempt."""
    row = house.row("SELECT p.due_at - now() - c.ahead AS wait FROM payments p, clock c WHERE p.id = :id", id=payment)
    wait: timedelta = row.wait
    return wait


def test_insufficient_funds_are_tried_again_under_a_new_reference(house: House) -> None:
    """R16, B56, B73: declined for funds, days later approved: a new attempt with a reference and a key of its own."""
    house.bill("C-1", {"A": 6000})
    payment = asked(house, FUNDS_LATER)
    assert (house.state(payment), house.sales(payment)) == ("retrying", ["declined"])
    assert house.invoices() == {"A": ("pending", 6000)}
    assert timedelta(days=2) < waits(house, payment) < timedelta(days=8)
    assert house.charge() == 0, "nothing before its time"
    days_pass(house, 10)
    assert (house.state(payment), house.sales(payment)) == ("posted", ["declined", "approved"])
    seen = house.sandbox.client.requests(operation="sale")
    assert len({one.request_id for one in seen}) == len({one.reference for one in seen}) == 2
    assert len(set(references(house, payment))) == 2
    assert house.sandbox.client.card(FUNDS_LATER).charged == 1


def test_plugnpay_declines_are_retried_alike(house: House) -> None:
    """R16: the other gateway's declines are read by its own table and retried by the same rules."""
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(before=[answer("51")], operation="sale")
    payment = house.pay(6000, card(AMEX, "1234"))
    house.charge()
    assert house.state(payment) == "retrying"
    days_pass(house, 10)
    assert (house.state(payment), house.sales(payment)) == ("posted", ["declined", "approved"])
    assert house.sandbox.client.card(AMEX).charged == 1


@pytest.mark.parametrize("number", NEVER.values(), ids=NEVER)
def test_some_declines_are_never_tried_again(house: House, number: str) -> None:
    """R16, B55: hard declines, wrong data and "call the bank" end the payment; nothing is applied."""
    house.bill("C-1", {"A": 6000})
    payment = asked(house, number)
    assert (house.state(payment), house.sales(payment)) == ("declined", ["declined"])
    house.advance(days=30)
    house.work()
    assert house.sandbox.client.card(number).declined == 1
    assert house.invoices() == {"A": ("pending", 6000)}
    assert house.payment(payment).next_step is None


def test_no_final_word_before_the_last_attempt(house: House) -> None:
    """B59: the first decline is told at once, the end only when no attempt is to come: no final notice too early."""
    house.bill("C-1", {"A": 6000})
    payment = asked(house, NO_FUNDS)
    told = "'payment.retrying', 'payment.declined'"
    heard = f"SELECT what, count(*) AS times FROM events WHERE what IN ({told}) GROUP BY 1"
    assert {row.what: row.times for row in house.rows(heard)} == {"payment.retrying": 1}
    days_pass(house, 20)
    open_still = {row.what: row.times for row in house.rows(heard)}
    assert (house.state(payment), open_still.get("payment.declined")) == ("retrying", None)
    days_pass(house, 20)
    assert house.state(payment) == "declined"
    assert {row.what: row.times for row in house.rows(heard)} == {"payment.retrying": 5, "payment.declined": 1}


def test_a_payment_ends_after_its_last_attempt(house: House) -> None:
    """R16: the schedule ends: six attempts for no funds, five for a plain no, each day apart, then declined."""
    for customer, number, attempts in (("C-1", NO_FUNDS, 6), ("C-2", NOT_HONOURED, 5)):
        house.bill(customer, {"A": 6000})
        payment = asked(house, number, customer=customer)
        days_pass(house, 40)
        assert house.state(payment) == "declined"
        assert len(house.sales(payment)) == attempts
        assert house.sandbox.client.card(number).declined == attempts
        times = [
            row.started_at
            for row in house.rows(
                "SELECT started_at FROM gateway_transactions WHERE payment_id = :id ORDER BY id", id=payment
            )
        ]
        assert all(after - before >= timedelta(hours=20) for before, after in itertools.pairwise(times))


def test_a_technical_decline_is_tried_again_within_hours(house: House) -> None:
    """R16: the issuer could not be reached: about an hour later, not days."""
    house.bill("C-1", {"A": 6000})
    payment = asked(house, UNAVAILABLE)
    if house.state(payment) == "charging":  # 151 is believed only when an inquiry says so, too
        house.advance(minutes=1)
        house.look_up()
    assert house.state(payment) == "retrying"
    assert timedelta(minutes=30) < waits(house, payment) < timedelta(hours=2)


def test_a_card_that_expires_before_its_next_attempt_is_not_tried(house: House) -> None:
    """R16, B55: expired before the slot: no call, the payment is declined, "card expired"."""
    house.bill("C-1", {"A": 6000})
    now = house.sandbox.client.now()
    month = Card(NO_FUNDS, now.month, now.year + 1, "123", "Ann Example")
    payment = house.pay(6000, month)
    house.charge()
    assert house.state(payment) == "retrying"
    house.do("UPDATE payments SET card_exp_year = card_exp_year - 1")
    house.advance(days=10)
    house.work()
    assert house.state(payment) == "declined"
    assert "expired" in house.payment(payment).reason
    assert house.sandbox.client.card(NO_FUNDS).declined == 1


def test_no_attempt_is_planned_after_the_cards_last_day(house: House) -> None:
    """R16, B55: insufficient funds on the last day of the card's month: the next slot is past it, so it ends."""
    house.bill("C-1", {"A": 6000})
    now = house.sandbox.client.now()
    house.advance(days=monthrange(now.year, now.month)[1] - now.day)
    payment = house.pay(6000, Card(NO_FUNDS, now.month, now.year, "123", "Ann Example"))
    house.charge()
    assert (house.state(payment), house.sales(payment)) == ("declined", ["declined"])
    assert "card expired" in house.payment(payment).reason


@pytest.mark.parametrize(
    ("number", "advice", "state"),
    [
        (MASTERCARD, "03", "declined"),
        (MASTERCARD, "21", "declined"),
        (MASTERCARD, "01", "declined"),
        (MASTERCARD, "24", "retrying"),
        (MASTERCARD, "30", "retrying"),
        (VISA, "03", "declined"),
        (VISA, "24", "retrying"),
    ],
)
def test_the_networks_advice_goes_before_the_code(house: House, number: str, advice: str, state: str) -> None:
    """R16: "insufficient funds" with "do not try again" is not tried again; a wait that is named is kept."""
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(before=[answer("50", PAYMENTADVICECODE=advice)], operation="sale")
    payment = asked(house, number)
    assert house.state(payment) == state
    if number == MASTERCARD and advice in ("24", "30"):
        least = timedelta(hours=1) if advice == "24" else timedelta(days=10)
        assert waits(house, payment) >= least - timedelta(seconds=5)
        row = house.payment(payment)
        with house.context.transaction() as (conn, now):
            [(_, _, due_now)] = sweep.hasten(conn, payment, now)
        assert not due_now, "no hand goes before the network's wait"
        assert house.payment(payment).due_at == row.not_before


def test_limits_count_per_card_over_all_payments(house: House) -> None:
    """R16: one card, four customers: after four attempts within a day its next one waits, whoever asked."""
    for place in range(4):
        house.bill(f"C-{place}", {"A": 6000 + place})
        asked(house, UNAVAILABLE, 6000 + place, customer=f"C-{place}")
        house.advance(minutes=2)
        house.look_up()
    by_time = house.rows("SELECT due_at - now() - c.ahead AS wait FROM payments, clock c ORDER BY payments.id")
    assert by_time[0].wait < timedelta(hours=2)
    assert by_time[3].wait > timedelta(hours=23)
    first = house.row("SELECT min(id) AS id FROM payments").id
    house.advance(hours=3)
    house.work()
    assert len(house.sales(first)) == 1, "a fifth attempt within a day is not made"
    assert house.state(first) == "retrying", "the limit of the day delays, it does not end"
    house.advance(hours=24)
    house.work()
    assert len(house.sales(first)) == 2


def test_charges_that_went_well_end_no_retry(house: House) -> None:
    """R16: a firm's card pays ten invoices a day; a gateway that is down for a minute declines none of them."""
    house.bill("C-1", {f"{number:02}": 1000 + number for number in range(12)})
    for number in range(11):
        house.pay(1000 + number, card(), invoices=[f"{number:02}"])
    house.charge()
    house.sandbox.client.scenario(before=[answer("106")], operation="sale")
    last = asked(house, VISA, 1011, invoices=["11"])
    assert house.state(last) == "retrying"
    house.advance(minutes=3)
    house.work()
    assert house.state(last) == "posted"


def test_a_blocked_card_ends_other_payments_retries(house: House) -> None:
    """R16: once a card was declined for good, no other payment's retry is sent with it."""
    house.bill("C-1", {"A": 6000})
    house.bill("C-2", {"A": 7000})
    house.sandbox.client.scenario(before=[answer("50")], operation="sale")
    waiting = asked(house, VISA)
    house.sandbox.client.scenario(before=[answer("12", HOSTCODE="43")], operation="sale")
    asked(house, VISA, 7000, customer="C-2")
    days_pass(house, 10)
    assert (house.state(waiting), house.sales(waiting)) == ("declined", ["declined"])
    assert "for good" in house.payment(waiting).reason


def test_a_stop_of_one_payment_blocks_no_other(house: House) -> None:
    """R16: Visa's advice 02 stops that one payment; another one's retry with the card goes on."""
    house.bill("C-1", {"A": 6000})
    house.bill("C-2", {"A": 7000})
    house.sandbox.client.scenario(before=[answer("50")], operation="sale")
    waiting = asked(house, VISA)
    house.sandbox.client.scenario(before=[answer("50", PAYMENTADVICECODE="02")], operation="sale")
    stopped = asked(house, VISA, 7000, customer="C-2")
    days_pass(house, 10)
    assert (house.state(stopped), house.state(waiting)) == ("declined", "posted")


def test_an_outage_delays_and_then_charges(house: House, database_url: str, redis_url: str, tmp_path: Any) -> None:
    """E3, R16: nobody listens at the gateway's address: certainly not sent, tried again, charged when it is back."""
    from tests.flows.ports import closed_port

    keys = str(tmp_path / "keys.json")
    nowhere = f"http://127.0.0.1:{closed_port()}/"
    settings = settings_for(house.sandbox, database_url, redis_url, keys, DEFRAY_PAYFLOW_URL=nowhere)
    cut_off = build(house.engine, settings, house.sandbox)
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card(FUNDS_LATER))
    for _ in range(5):
        cut_off.charge()
        assert (house.state(payment), set(house.sales(payment))) == ("retrying", {"failed"})
        house.advance(hours=6)
    cut_off.context.wake.close()
    house.charge()
    assert house.state(payment) == "retrying", "failures are no attempts of the card: its first decline ends nothing"
    days_pass(house, 10)
    assert house.state(payment) == "posted"
    assert house.sandbox.client.card(FUNDS_LATER).charged == 1


def test_a_person_is_asked_when_the_retries_end(
    house: House, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """R16: by setting, a soft decline whose days are over waits for a person; a hard one ends as ever."""
    keys, own = str(tmp_path / "keys.json"), {"DEFRAY_RETRY_GENERIC_DAYS": "3", "DEFRAY_RETRY_AT_END": "ask"}
    settings = settings_for(house.sandbox, database_url, redis_url, keys, **own)
    asking = build(house.engine, settings, house.sandbox)
    house.bill("C-1", {"A": 6000, "B": 6000})
    payment = asking.pay(6000, card(NOT_HONOURED))
    stolen = asking.pay(6000, card(next(iter(NEVER.values()))), customer="C-1", allow_overlap=True)
    asking.work()
    assert (house.state(payment), house.state(stolen)) == ("retrying", "declined")
    days_pass(asking, 5)
    asking.context.wake.close()
    assert (house.state(payment), house.sales(payment)) == ("review", ["declined", "declined"])


@pytest.mark.parametrize(("code", "alarm"), [("1", True), ("26", True), ("106", False), ("4", False)])
def test_a_gateway_that_refuses_us_is_no_decline(house: House, code: str, alarm: bool) -> None:
    """R16: wrong credentials, a busy gateway, our own bad request: nothing was charged, no decline, tried later."""
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(before=[answer(code)], operation="sale")
    payment = asked(house, VISA)
    assert (house.state(payment), house.sales(payment)) == ("retrying", ["failed"])
    assert house.alarms() == (["alarm.gateway_setup"] if alarm else [])
    days_pass(house, 1)
    assert house.state(payment) == "posted"
    assert house.sandbox.client.card(VISA).charged == 1


def test_wrong_credentials_end_at_a_person(house: House) -> None:
    """R16: a set-up that stays wrong is not tried for ever; a person is asked, the payment is not lost."""
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(before=[answer("1")], operation="sale", times=0)
    payment = asked(house, VISA)
    days_pass(house, 8)
    assert house.state(payment) == "review"
    assert 3 <= len(house.sales(payment)) <= 8


def test_a_decline_is_not_read_from_a_page(house: House) -> None:
    """B19, E3: no answer of the gateway, no attempt that counts as declined."""
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(before=[page(200, "RESULT=12 declined", "text/html")], operation="sale")
    payment = asked(house, VISA)
    assert house.sales(payment) == ["unknown"]
    assert house.payment(payment).first_declined_at is None


def test_an_unlisted_code_proves_nothing(house: House) -> None:
    """E3: RESULT=999 is neither yes nor no."""
    house.bill("C-1", {"A": 6000})
    house.sandbox.client.scenario(after=[edit({"RESULT": "999"})], operation="sale")
    payment = asked(house, VISA)
    assert house.sales(payment) == ["unknown"]
    house.advance(minutes=1)
    house.work()
    assert house.state(payment) == "posted"


def test_the_sweeper_finds_due_retries(house: House) -> None:
    """D3: a retry is a row with a due time; whoever looks finds it, no message needs to survive."""
    house.bill("C-1", {"A": 6000})
    payment = asked(house, FUNDS_LATER)
    assert house.sweep() == "nothing is overdue"
    house.advance(days=8)
    assert house.sweep() == "woke single payments to charge"
    with house.context.transaction() as (conn, now):
        assert sweep.due_retries(conn, now) == [(None, 1)]
    house.charge()
    assert house.state(payment) == "posted"
