"""A card is charged once, whatever happens to the answer (E1-E6, R8a, R18)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from books import inquire, outcome
from books.charge import Begun, begin
from books.claim import Singles
from books.outcome import Heard
from rules.errors import KeyReused, MoveRefused, NotFound, RequestRefused
from rules.outcomes import (
    Absent,
    Approved,
    DeclineClass,
    Declined,
    Evidence,
    Failed,
    FailureClass,
    Found,
    Held,
    NoAnswer,
    Outcome,
    Standing,
    Unknown,
)
from sandbox.client import answer, close, cut, delay, edit, foreign, garble, page, reset
from sandbox.scenarios import Step
from tests.flows.house import AMEX, VISA, House, at_once, build, card, settings_for

SETTLING = timedelta(minutes=16)
LOST: dict[str, list[Step]] = {
    "reset": [reset()],
    "closed": [close()],
    "cut": [cut(20)],
    "a maintenance page (B19)": [page(200)],
    "a bad gateway's page (B19)": [page(502)],
    "a redirect (E3)": [page(307)],
    "noise": [garble()],
    "an answer that proves nothing": [edit({"RESULT": None, "FinalStatus": None})],
}
CARDS = {"payflow": (VISA, "123"), "plugnpay": (AMEX, "1234")}


def three_invoices(house: House) -> None:
    """15,000 minor units are owed, oldest first A, B, C."""
    house.bill("C-1", {"A": 6000, "B": 4000, "C": 5000})


def begun(house: House) -> Begun:
    """A sale that is committed as `started`, by a worker that then says nothing."""
    with house.context.transaction() as (conn, now):
        [sale], _ = begin(conn, Singles(), 10, house.context.terms, now, "defray", house.context.breakers)
    return sale


def hear(house: House, sale: Begun, heard: Outcome, lease_token: int | None) -> Any:
    """Record what was heard of a sale."""
    with house.context.transaction() as (conn, now):
        one = Heard(sale.transaction_id, lease_token, heard, Evidence(200, {}))
        return outcome.finish(conn, "reply", [one], house.context.terms, now, "defray")


def approval(sale: Begun) -> Approved:
    """A fitting approval."""
    return Approved("A10A6D5F7C3B", "0", amount_minor=sale.amount_minor, currency="USD")


def sent(house: House) -> list[tuple[str, str]]:
    """(reference, request id) of each sale that reached the gateway."""
    return [(one.reference, one.request_id) for one in house.sandbox.client.requests(operation="sale")]


@pytest.mark.parametrize("gateway", CARDS)
@pytest.mark.parametrize("how", LOST)
def test_an_answer_that_was_lost_is_looked_up_and_posted_once(house: House, how: str, gateway: str) -> None:
    """E3, E4, B10, B15, B19: charged, but the answer is lost: unknown, found by inquiry, posted as at once."""
    number, code = CARDS[gateway]
    three_invoices(house)
    payment = house.pay(12_000, card(number, code))
    lost = house.sandbox.client.scenario(after=LOST[how], operation="sale")
    house.charge()
    assert house.sandbox.client.applied(lost) == 1
    assert (house.state(payment), house.sales(payment)) == ("charging", ["unknown"])
    assert house.invoices() == {"A": ("pending", 6000), "B": ("pending", 4000), "C": ("pending", 5000)}
    house.advance(minutes=1)
    house.work()
    assert (house.state(payment), house.sales(payment)) == ("posted", ["approved"])
    assert house.invoices() == {"A": ("paid", 0), "B": ("paid", 0), "C": ("pending", 3000)}
    assert house.sandbox.client.card(number).charged == 1
    assert house.ledger() == {"receivable": 3000, "revenue": -15_000, f"clearing:{gateway}": 12_000}


def test_an_answer_that_comes_after_the_client_gave_up_counts_by_inquiry(
    house: House, database_url: str, redis_url: str, tmp_path: Any
) -> None:
    """E3: a read time-out proves nothing; the sale is looked up and posted once."""
    settings = settings_for(
        house.sandbox, database_url, redis_url, str(tmp_path / "keys.json"), DEFRAY_READ_TIMEOUT="1"
    )
    hasty = build(house.engine, settings, house.sandbox)
    hasty.bill("C-1", {"A": 6000})
    payment = hasty.pay(6000, card())
    house.sandbox.client.scenario(after=[delay(1500)], operation="sale")
    hasty.charge()
    assert hasty.sales(payment) == ["unknown"]
    hasty.advance(minutes=1)
    hasty.work()
    assert hasty.state(payment) == "posted"
    assert house.sandbox.client.card(VISA).charged == 1
    hasty.context.wake.close()


def test_a_redirect_is_not_followed(house: House) -> None:
    """E3: card data never goes where a 307 points to."""
    three_invoices(house)
    house.pay(6000, card())
    house.sandbox.client.scenario(before=[page(307)], operation="sale")
    house.charge()
    assert house.sandbox.client.decoy()[1] == []


def test_a_second_payment_waits_until_the_first_is_known(house: House) -> None:
    """B01, R8a: while an outcome is unknown another card payment for the same invoices is refused, a check is not."""
    three_invoices(house)
    first = house.pay(6000, card(), invoices=["A"])
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    house.charge()
    for again in ({"invoices": ["A"]}, {}, {"invoices": ["A"], "allow_overlap": True}):
        with pytest.raises(RequestRefused, match=f"the outcome of payment {first}"):
            house.pay(1000, card(), **again)
    elsewhere = house.pay(4000, card(), invoices=["B"])
    house.advance(minutes=1)
    house.work()
    assert [house.state(one) for one in (first, elsewhere)] == ["posted", "posted"]
    assert house.pay(1000, card())
    assert house.sandbox.client.card(VISA).charged == 2


def test_inquiries_come_in_growing_intervals_and_never_turn_into_a_no(house: House) -> None:
    """B12, E4: with the inquiry down for a day it stays unknown, with an alarm; nothing is sent again."""
    three_invoices(house)
    payment = house.pay(6000, card())
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    house.sandbox.client.scenario(before=[page(503)], operation="inquiry", times=0)
    house.charge()
    for _ in range(40):
        house.advance(minutes=45)
        house.work()
    row = house.row("SELECT state, asked, sends FROM gateway_transactions WHERE payment_id = :id", id=payment)
    assert (row.state, row.sends) == ("unknown", 1)
    assert 8 <= row.asked <= 20
    assert "alarm.unknown_outcome" in house.alarms()
    house.sandbox.client.clear()
    house.advance(hours=8)
    house.work()
    assert house.state(payment) == "posted"
    assert house.sandbox.client.card(VISA).charged == 1


@pytest.mark.parametrize("gateway", CARDS)
def test_what_is_not_there_is_sent_again_under_the_same_reference(house: House, gateway: str) -> None:
    """E4, B09: absent after the time to appear, the very same sale goes out again, with the same idempotency key."""
    number, code = CARDS[gateway]
    three_invoices(house)
    payment = house.pay(6000, card(number, code))
    house.sandbox.client.scenario(before=[close()], operation="sale")
    house.charge()
    house.advance(minutes=1)
    house.work()
    assert len(sent(house)) == 1, "absent before the time to appear means nothing"
    for _ in range(3):
        house.advance(minutes=16)
        house.work()
    first, second = sent(house)
    assert first == second
    assert house.sales(payment) == ["approved"]
    assert house.sandbox.client.card(number).charged == 1


@pytest.mark.parametrize("gateway", CARDS)
def test_a_late_first_send_is_a_duplicate(house: House, gateway: str) -> None:
    """E4, B08: the inquiry overlooks a sale that was made; sent again, the gateway answers with the first one."""
    number, code = CARDS[gateway]
    three_invoices(house)
    payment = house.pay(6000, card(number, code))
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    blind = {"payflow": answer("20"), "plugnpay": page(200, "FinalStatus=problem&MErrMsg=no+records+found")}
    house.sandbox.client.scenario(before=[blind[gateway]], operation="inquiry", times=0)
    house.charge()
    for _ in range(2):
        house.advance(minutes=16)
        house.work()
    assert len(sent(house)) == 2
    assert house.sales(payment) == ["approved"]
    assert house.sandbox.client.card(number).charged == 1


@pytest.mark.parametrize(
    "heard",
    [
        Failed(FailureClass.NOT_SENT, "refused", "connection refused"),
        Failed(FailureClass.BUSY, "106"),
        Failed(FailureClass.GATEWAY_SETUP, "1"),
        Unknown("reset"),
    ],
    ids=lambda heard: str(getattr(heard, "failure", "unknown")),
)
def test_a_second_send_that_failed_does_not_prove_that_the_first_did(house: House, heard: Outcome) -> None:
    """E4, E5: the first send may still be done, so no new reference is freed by a failure of the second."""
    three_invoices(house)
    payment = house.pay(6000, card())
    house.sandbox.client.scenario(before=[close()], operation="sale")
    house.charge()
    house.advance(hours=1)
    with house.context.transaction() as (conn, now):
        [question] = inquire.begin(conn, None, 10, house.context.terms, now, "defray")
        answers = [inquire.Answer(question, Absent("20"), Evidence(200, {}))]
        [again], _ = inquire.learn(conn, answers, house.context.terms, now, "defray")
    hear(house, again, heard, again.lease_token)
    assert (house.state(payment), house.sales(payment)) == ("charging", ["unknown"])
    hear(house, again, approval(again), None)
    assert (house.state(payment), house.sales(payment)) == ("posted", ["approved"])


def test_a_card_that_cannot_be_opened_again_leaves_the_sale_unknown(house: House) -> None:
    """E4: where the same sale can't be sent again, since the card is gone, nothing is concluded of the first send."""
    three_invoices(house)
    payment = house.pay(6000, card())
    house.sandbox.client.scenario(before=[close()], operation="sale")
    house.charge()
    house.do("UPDATE card_vault SET wrapped_key = NULL, dropped_at = now()")
    for _ in range(3):
        house.advance(hours=1)
        house.work()
    assert (house.state(payment), house.sales(payment)) == ("charging", ["unknown"])


def test_a_card_that_cannot_be_opened_is_not_charged(house: House) -> None:
    """C2: without its key a sale is certainly not sent; after two more tries a person is asked."""
    three_invoices(house)
    payment = house.pay(6000, card())
    house.do("UPDATE card_vault SET wrapped_key = NULL, dropped_at = now()")
    house.work()
    assert (house.state(payment), house.sales(payment)) == ("retrying", ["failed"])
    for _ in range(3):
        house.advance(days=2)
        house.work()
    assert house.state(payment) == "review"
    assert set(house.sales(payment)) == {"failed"}
    assert sent(house) == []


@pytest.mark.parametrize("why", ["cancelled", "paid by a check", "outside the window"])
def test_what_is_not_wanted_or_too_old_is_not_sent_again(house: House, why: str) -> None:
    """E4, R8, B57: absent, but cancelled, paid meanwhile or past the replay window: a person decides, not a send."""
    three_invoices(house)
    payment = house.pay(6000, card(), invoices=["A"])
    house.sandbox.client.scenario(before=[close()], operation="sale")
    house.charge()
    if why == "cancelled":
        assert house.cancel(payment) is False
    elif why == "paid by a check":
        house.pay(6000, invoices=["A"])
        house.post()
    house.advance(hours=30 if why == "outside the window" else 1)
    for _ in range(8):
        house.advance(hours=1)
        house.work()
    assert len(sent(house)) == 1
    assert (house.state(payment), house.sales(payment)) == ("charging", ["unknown"])
    house.resolve(payment, "declined")
    assert house.state(payment) == ("cancelled" if why == "cancelled" else "declined")
    assert house.sandbox.client.card(VISA).charged == 0


def test_a_person_closes_what_no_inquiry_can(house: House) -> None:
    """E4, B12: approved, declined or not made: said by a person, with a reason that is kept as evidence."""
    for number, (verdict, state) in enumerate(
        {"approved": "posted", "declined": "declined", "not_made": "retrying"}.items()
    ):
        customer = f"C-{number}"
        house.bill(customer, {"A": 6000})
        payment = house.pay(6000, card(), customer=customer)
        house.sandbox.client.scenario(before=[close()], operation="sale")
        house.charge()
        with pytest.raises(MoveRefused, match="no verdict"):
            house.resolve(payment, "maybe")
        house.resolve(payment, verdict)
        assert house.state(payment) == state
        with pytest.raises(NotFound):
            house.resolve(payment, verdict)
    said = house.rows("SELECT said FROM evidence WHERE kind = 'person'")
    assert {row.said["by"] for row in said} == {"sue"}


def test_no_verdict_is_taken_while_the_same_sale_is_on_its_way_again(house: House) -> None:
    """E4, E5: "not made" would free a new reference beside a send whose answer is only seconds away."""
    three_invoices(house)
    payment = house.pay(6000, card())
    begun(house)
    house.advance(hours=1)
    terms = house.context.terms
    with house.context.transaction() as (conn, now):
        [question] = inquire.begin(conn, None, 10, terms, now, "defray")
        answers = [inquire.Answer(question, Absent("20"), Evidence(200, {}))]
        [again], _ = inquire.learn(conn, answers, terms, now, "defray")
    with pytest.raises(MoveRefused, match="sent again right now"):
        house.resolve(payment, "not_made")
    hear(house, again, approval(again), again.lease_token)
    assert (house.state(payment), house.sales(payment)) == ("posted", ["approved"])


def test_a_worker_that_lost_its_lease_is_heard_only_where_the_gateway_speaks(house: House) -> None:
    """E1, E4: of a stopped worker "not sent" and "time-out" are ignored; the gateway's approval counts, once."""
    three_invoices(house)
    payment = house.pay(6000, card())
    sale = begun(house)
    house.advance(minutes=5)
    house.sandbox.client.scenario(before=[page(503)], operation="inquiry")
    house.look_up()
    assert house.sales(payment) == ["unknown"]
    for nothing in (Failed(FailureClass.NOT_SENT, "refused"), Unknown("timeout")):
        hear(house, sale, nothing, sale.lease_token)
        assert (house.state(payment), house.sales(payment)) == ("charging", ["unknown"])
    for _ in range(2):
        hear(house, sale, approval(sale), sale.lease_token)
    assert house.state(payment) == "posted"
    assert house.invoices()["A"] == ("paid", 0)
    assert house.ledger()["clearing:payflow"] == 6000


def test_a_lease_that_ran_out_is_looked_up_and_not_repeated_blindly(house: House) -> None:
    """B05, E1: killed before the send: nothing is charged until the gateway was asked, after the time to appear."""
    three_invoices(house)
    payment = house.pay(6000, card())
    begun(house)
    assert house.charge() == 0
    house.advance(minutes=5)
    house.work()
    assert (house.sales(payment), sent(house)) == (["unknown"], [])
    house.advance(minutes=16)
    house.work()
    assert (house.state(payment), len(sent(house))) == ("posted", 1)
    assert house.sandbox.client.card(VISA).charged == 1


EVERY_OUTCOME: dict[str, tuple[Outcome, str, list[str]]] = {
    "approved": (Approved("A10A6D5F7C3B", "0"), "posted", ["approved"]),
    "hard decline": (Declined(DeclineClass.HARD, "12"), "declined", ["declined"]),
    "soft decline": (Declined(DeclineClass.SOFT_DATED, "50"), "retrying", ["declined"]),
    "not sent": (Failed(FailureClass.NOT_SENT, "refused"), "retrying", ["failed"]),
    "set-up": (Failed(FailureClass.GATEWAY_SETUP, "1"), "retrying", ["failed"]),
    "held": (Held("A10A6D5F7C3B", "126"), "review", ["review"]),
    "unknown": (Unknown("reset"), "charging", ["unknown"]),
}


@pytest.mark.parametrize("name", EVERY_OUTCOME)
def test_an_outcome_that_is_recorded_twice_changes_nothing(house: House, name: str) -> None:
    """D4, B07: the same word again, in one group or later, moves nothing a second time."""
    heard, state, sales = EVERY_OUTCOME[name]
    three_invoices(house)
    payment = house.pay(15_000, card())
    sale = begun(house)
    with house.context.transaction() as (conn, now):
        twice = [Heard(sale.transaction_id, sale.lease_token, heard, Evidence(200, {})) for _ in range(2)]
        outcome.finish(conn, "reply", twice, house.context.terms, now, "defray")
    hear(house, sale, heard, sale.lease_token)
    hear(house, sale, heard, None)
    assert (house.state(payment), house.sales(payment)) == (state, sales)
    assert house.payment(payment).attempts == 1
    assert house.payment(payment).failures == (1 if isinstance(heard, Failed) else 0)
    entries = house.row("SELECT count(*) AS entries FROM journal WHERE payment_id = :id", id=payment).entries
    assert entries == (1 if state == "posted" else 0)
    assert [alarm for alarm in house.alarms() if "set_aside" in alarm] == []


@pytest.mark.parametrize(
    "before",
    [Declined(DeclineClass.SOFT_DATED, "50"), Declined(DeclineClass.HARD, "12"), Failed(FailureClass.BUSY, "106")],
)
def test_a_late_approval_of_a_sale_that_had_ended_is_given_back(house: House, before: Outcome) -> None:
    """E4, B01: declined or failed, then approved after all: alarm, no further sale, its reversal; charged sum: none."""
    three_invoices(house)
    payment = house.pay(6000, card())
    house.sandbox.client.scenario(after=[close()], operation="sale")
    house.charge()
    [booked] = house.sandbox.client.transactions(operation="sale")
    [sale] = house.rows("SELECT * FROM gateway_transactions")
    with house.context.transaction() as (conn, now):
        for heard in (before, Approved(booked.id, "0", amount_minor=6000, currency="USD")):
            one = Heard(sale.id, None, heard, Evidence(200, {}))
            outcome.finish(conn, "inquiry", [one], house.context.terms, now, "defray")
    assert house.sales(payment) == ["surplus"]
    assert "alarm.surplus" in house.alarms()
    house.work()
    house.advance(days=40)
    house.work()
    assert house.sandbox.client.card(VISA).charged == 1, "no further sale"
    assert house.sandbox.client.card(VISA).net == 0
    assert house.reversal(payment).state == "voided"
    assert house.state(payment) in ("review", "declined")
    assert house.ledger() == {"receivable": 15_000, "revenue": -15_000}


def test_a_surplus_beside_an_attempt_under_way_bars_the_next_one(house: House) -> None:
    """E4, R16: the first attempt turns out approved while the second is under way and then declined: no third."""
    three_invoices(house)
    payment = house.pay(6000, card())
    first = begun(house)
    hear(house, first, Failed(FailureClass.BUSY, "106"), first.lease_token)
    house.advance(hours=1)
    second = begun(house)
    hear(house, first, approval(first), None)
    hear(house, second, Declined(DeclineClass.SOFT_DATED, "50"), second.lease_token)
    assert house.sales(payment) == ["surplus", "declined"]
    house.advance(days=40)
    house.charge()
    assert (house.state(payment), len(house.sales(payment))) == ("review", 2)
    assert sent(house) == []


@pytest.mark.parametrize(
    "words", ["Approved\0", "\ud800", "\u202egnp.exe", "x" * 100_000], ids=["NUL", "half", "rtl", "long"]
)
@pytest.mark.parametrize("gateway", CARDS)
def test_odd_words_of_a_gateway_are_recorded_all_the_same(house: House, gateway: str, words: str) -> None:
    """DESIGN 3, B19: whatever a gateway writes beside its verdict, the outcome is recorded."""
    number, code = CARDS[gateway]
    three_invoices(house)
    payment = house.pay(6000, card(number, code))
    house.sandbox.client.scenario(
        after=[edit({"RESPMSG": words, "MErrMsg": words, "AUTHCODE": words})], operation="sale"
    )
    house.charge()
    house.advance(minutes=1)
    house.work()
    assert house.state(payment) == "posted"
    assert [alarm for alarm in house.alarms() if "set_aside" in alarm] == []


@pytest.mark.parametrize(
    ("gateway", "fields"),
    [
        ("payflow", {"AMT": "1.00"}),
        ("payflow", {"AMT": "60.01"}),
        ("payflow", {"CUSTREF": "OTHER0000001"}),
        ("payflow", {"CURRENCY": "EUR"}),
        ("plugnpay", {"card-amount": "1.00"}),
        ("plugnpay", {"currency": "eur"}),
    ],
)
def test_an_approval_of_something_else_is_held_for_a_person(
    house: House, gateway: str, fields: dict[str, str | None]
) -> None:
    """R18: another amount, currency or reference than was asked is no approval: held, and an alarm."""
    number, code = CARDS[gateway]
    three_invoices(house)
    payment = house.pay(6000, card(number, code))
    house.sandbox.client.scenario(after=[edit(fields)], operation="sale")
    house.charge()
    # Neither time nor an inquiry, which may be silent about the amount, turns it into what was asked for.
    for _ in range(3):
        house.advance(hours=6)
        house.work()
    assert (house.state(payment), house.sales(payment)) == ("review", ["review"])
    assert house.alarms() == ["alarm.held"]
    assert house.invoices()["A"] == ("pending", 6000)
    assert house.sandbox.client.card(number).charged == 1


@pytest.mark.parametrize("number", ["4012888888881881", VISA], ids=["another card", "the same card and amount"])
def test_the_reply_of_another_transaction_is_not_taken(house: House, number: str) -> None:
    """B08: RESULT=0 with another customer's PNREF and DUPLICATE=1 pays nothing; a person looks."""
    house.bill("C-1", {"A": 6000})
    house.bill("C-2", {"A": 6000})
    house.pay(6000, card(number))
    house.work()
    [other] = house.sandbox.client.transactions(operation="sale")
    payment = house.pay(6000, card(), customer="C-2")
    house.sandbox.client.scenario(before=[foreign(other.id)], operation="sale")
    house.charge()
    house.advance(minutes=1)
    house.work()
    assert (house.state(payment), house.sales(payment)) == ("review", ["review"])
    assert house.invoices("C-2") == {"A": ("pending", 6000)}


@pytest.mark.parametrize(("decision", "state"), [("accept", "posted"), ("reject", "declined")])
@pytest.mark.parametrize("gateway", CARDS)
def test_held_for_review_is_neither_yes_nor_no(house: House, gateway: str, decision: str, state: str) -> None:
    """R18, B22, B79: held or pending at the gateway: nothing is paid, nothing sent again, until it says so."""
    three_invoices(house)
    number = "4000000000009235"
    if gateway == "plugnpay":
        house.sandbox.client.scenario(before=[answer("pending")], operation="sale")
        number = AMEX
    payment = house.pay(6000, card(number, CARDS[gateway][1]))
    house.charge()
    held = house.sales(payment)
    assert held == (["review"] if gateway == "payflow" else ["unknown"])
    house.advance(minutes=20)
    house.work()
    assert house.sales(payment) == held
    assert [alarm for alarm in house.alarms() if "set_aside" in alarm] == []
    assert house.invoices()["A"] == ("pending", 6000)
    assert house.sandbox.client.review(decision) == 1
    house.advance(hours=8)
    house.work()
    assert house.state(payment) == state
    assert len(sent(house)) == 1


def test_the_database_bars_a_second_live_sale(house: House) -> None:
    """E5: while a sale is started, unknown, held or approved, the database itself refuses another one."""
    three_invoices(house)
    house.pay(6000, card())
    begun(house)
    second = text(
        "INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency,"
        " state, send_until, started_at) SELECT payment_id, operation, 'plugnpay', 'other', reference + 1,"
        " amount_minor, currency, 'started', now(), now() FROM gateway_transactions LIMIT 1"
    )
    for state in ("started", "unknown", "review", "approved"):
        house.do("UPDATE gateway_transactions SET state = :state", state=state)
        with house.engine.connect() as conn, pytest.raises(IntegrityError, match="one_live_sale"):
            conn.execute(second)
    house.do("UPDATE gateway_transactions SET state = 'started'")


def test_an_unknown_outcome_never_moves_to_another_gateway(house: House) -> None:
    """E6: with its gateway away the sale stays unknown there; the other gateway never sees it."""
    three_invoices(house)
    payment = house.pay(6000, card())
    house.sandbox.client.scenario(before=[close()], gateway="payflow", times=0)
    house.charge()
    for _ in range(6):
        house.advance(hours=1)
        house.work()
    assert house.sales(payment) == ["unknown"]
    assert house.sandbox.client.requests(gateway="plugnpay") == []


def test_a_found_sale_whose_money_went_elsewhere_is_held(house: House) -> None:
    """R11, R18: found approved, but voided at the gateway: nothing is paid with it; a person looks."""
    three_invoices(house)
    payment = house.pay(6000, card())
    sale = begun(house)
    house.advance(minutes=5)
    with house.context.transaction() as (conn, now):
        [question] = inquire.begin(conn, None, 10, house.context.terms, now, "defray")
        found = Found(approval(sale), Standing.VOIDED)
        answers = [inquire.Answer(question, found, Evidence(200, {}))]
        inquire.learn(conn, answers, house.context.terms, now, "defray")
    assert (house.state(payment), house.sales(payment)) == ("review", ["review"])
    assert house.invoices()["A"] == ("pending", 6000)


def test_two_inquiries_at_once_send_again_once(house: House) -> None:
    """D2, B03: the answer of an inquiry that is slower than the lease finds a fresh send and does not repeat it."""
    three_invoices(house)
    house.pay(6000, card())
    begun(house)
    house.advance(hours=1)
    with house.context.transaction() as (conn, now):
        [slow] = inquire.begin(conn, None, 10, house.context.terms, now, "defray")
        assert inquire.begin(conn, None, 10, house.context.terms, now, "defray") == []
    house.advance(minutes=3)
    terms = house.context.terms
    sends = []
    with house.context.transaction() as (conn, now):
        [quick] = inquire.begin(conn, None, 10, terms, now, "defray")
    for question in (quick, slow):
        with house.context.transaction() as (conn, now):
            answers = [inquire.Answer(question, Absent("20"), Evidence(200, {}))]
            sends += inquire.learn(conn, answers, terms, now, "defray")[0]
    assert len(sends) == 1
    with house.context.transaction() as (conn, now):
        inquire.learn(conn, [inquire.Answer(slow, NoAnswer("503"), Evidence(503, {}))], terms, now, "defray")


def test_workers_that_are_woken_together_send_one_sale(house: House) -> None:
    """B03, B04, D4: five messages for one payment at once: the gateway sees one sale."""
    three_invoices(house)
    payment = house.pay(6000, card())
    at_once(*[house.charge] * 5)
    assert house.state(payment) == "posted"
    assert len(sent(house)) == 1


def test_asking_again_under_the_same_key_gives_the_first_payment(house: House) -> None:
    """B02, R15: the answer was lost and the shop asks again: the same payment, whatever is known of it, one sale."""
    three_invoices(house)
    asked = {"idempotency_key": "INV-7-try"}
    payment = house.pay(6000, card(), **asked)
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    house.charge()
    assert house.pay(6000, card(), **asked) == payment
    house.advance(minutes=1)
    house.work()
    assert house.pay(6000, card(), **asked) == payment
    with pytest.raises(KeyReused):
        house.pay(6001, card(), **asked)
    house.work()
    assert house.sandbox.client.card(VISA).charged == 1


def test_every_operation_has_an_id_of_its_own(house: House) -> None:
    """B76, B78, E2: sale, void, another customer's sale from one process: each carries its stored reference alone."""
    three_invoices(house)
    house.bill("C-2", {"A": 500})
    first = house.pay(6000, card())
    house.work()
    house.void(first)
    house.work()
    house.pay(500, card(), customer="C-2")
    house.work()
    stored = house.rows("SELECT operation, reference FROM gateway_transactions ORDER BY id")
    seen = [one for one in house.sandbox.client.requests() if one.operation != "inquiry"]
    assert [(one.operation, int(one.reference, 36)) for one in seen] == [tuple(row) for row in stored]
    assert len({one.request_id for one in seen}) == len(seen) == 3
    assert all(10**18 <= row.reference < 36**12 for row in stored)
