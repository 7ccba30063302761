"""One payment is asked for: what is recorded, what is refused, and what happens when it is asked for again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest

from rules.errors import Fault, KeyReused, RequestRefused
from tests.producer.office import GOOD_CARD, Office


def only_fault(office: Office, **fields: Any) -> Fault:
    """The one fault of a request that is refused and leaves nothing behind."""
    before = office.count("payments"), office.count("events"), office.count("card_vault")
    with pytest.raises(RequestRefused) as refused:
        office.pay("k-refused", **{"amount": "10.00", **fields})
    assert (office.count("payments"), office.count("events"), office.count("card_vault")) == before
    [fault] = refused.value.faults
    assert isinstance(fault, Fault)
    assert fault.remedy
    return fault


def test_a_check_is_recorded(office: Office) -> None:
    """R1, D1: a request becomes a payment that is due now, with its event, and the worker is woken after the commit."""
    office.bill("C-1", {"0007": 5000, "8": 7000})
    recorded = office.pay("k1", amount="120.00", number="1001", invoices=["8", {"number": "0007", "cap": "20.00"}])
    [row] = office.rows("""
        SELECT p.method, p.number, p.total_minor, p.state, p.next_step, p.due_at = p.recorded_at, p.recorded_by,
               p.caller, p.gateway, p.owed_at_request_minor, p.caps_minor,
               (SELECT array_agg(i.number ORDER BY n.place) FROM unnest(p.invoice_ids) WITH ORDINALITY n(id, place)
                JOIN invoices i ON i.id = n.id) FROM payments p""")
    caps, invoices = [None, 2000], ["8", "0007"]
    assert row == ("check", "1001", 12000, "requested", "post", True, "ann", "shop", None, 9000, caps, invoices)
    told = office.rows("SELECT what, payment_id, to_state, by FROM events WHERE payment_id IS NOT NULL")
    assert told == [("payment.requested", recorded.payment_id, "requested", "ann")]
    assert office.bell.rung == [("payment", recorded.payment_id, "post")]


def test_a_card_is_recorded(office: Office) -> None:
    """R7, C1: a card with a gateway is due for a charge; of the card only what may be shown stands in the payment."""
    office.bill("C-1", {"7": 5000})
    recorded = office.pay("k1", GOOD_CARD, amount="50.00")
    [row] = office.rows("""
        SELECT gateway, next_step, card_brand, card_last_four, card_exp_month, card_exp_year, post_date,
               card_token IN (SELECT token FROM card_vault), length(card_fingerprint) > 20, card_once FROM payments""")
    assert row == ("payflow", "charge", "visa", "1111", 12, 2039, None, True, True, True)
    assert office.bell.rung == [("payment", recorded.payment_id, "charge")]
    assert not office.rows("SELECT 1 FROM payments p WHERE p::text LIKE '%4111111111111111%'")


def test_a_card_without_a_gateway(office: Office) -> None:
    """R7: with no gateway a card payment is recorded like the informational ones, and its number is not kept."""
    office.bill("C-1", {"7": 5000}, currency="EUR")
    office.pay("k1", GOOD_CARD, amount="50.00", currency="EUR")
    assert office.rows("SELECT gateway, next_step, card_last_four FROM payments") == [(None, "post", "1111")]
    assert office.rows("SELECT wrapped_key FROM card_vault") == [(None,)]
    office.pay("k2", None, method="credit_card", amount="50.00", currency="EUR")


def test_post_dates(office: Office) -> None:
    """R5: today unless given, also in the past and future; a charged payment takes the day of its approval."""
    office.bill("C-1", {"7": 5000})
    [(today,)] = office.rows("SELECT (now() AT TIME ZONE 'America/New_York')::date")
    asked = {"k1": None, "k2": date(2020, 1, 1), "k3": today + timedelta(days=30)}
    for key, day in asked.items():
        office.pay(key, amount="1.00", post_date=day)
    office.pay("k4", GOOD_CARD, amount="1.00")
    office.pay("k5", GOOD_CARD, amount="1.00", post_date="2020-01-01", invoices=["7"])
    days = [day for (day,) in office.rows("SELECT post_date FROM payments ORDER BY id")]
    assert days == [today, date(2020, 1, 1), today + timedelta(days=30), None, date(2020, 1, 1)]
    assert not office.rows("SELECT 1 FROM payments WHERE due_at <> recorded_at"), "a post date never delays"


@pytest.mark.parametrize("amount", ["-50.00", "0", "", "1e3", "NaN", "٥٠", "1,000.00", " 10 ", "0.001", "9" * 15])
def test_bad_amounts(office: Office, amount: str) -> None:
    """B30: negative, zero, blank, part of a cent, not a number, absurdly large: one fault, nothing recorded."""
    office.bill("C-1", {"7": 5000})
    assert only_fault(office, amount=amount).field == "amount"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("currency", "XXX"),
        ("customer", "C-404"),
        ("method", "bitcoin"),
        ("invoices", ["404"]),
        ("invoices", ["of C-2"]),
        ("invoices", ["draft"]),
        ("invoices", ["void"]),
        ("invoices", ["yen"]),
        ("notes", "x" * 10_000),
        ("notes", "\x1b[31m"),
        ("card_token", "card_404"),
    ],
)
def test_bad_fields(office: Office, field: str, value: object) -> None:
    """R1, R14: what is unknown, another customer's, in another currency or not issued is refused by one clear fault."""
    office.bill("C-1", {"7": 5000, "draft": 100, "void": 100})
    office.bill("C-1", {"yen": 100}, currency="JPY")
    office.bill("C-2", {"of C-2": 5000})
    office.do("UPDATE invoices SET state = number WHERE number IN ('draft', 'void')")
    assert only_fault(office, **{field: value}).field == field


def test_the_same_invoice_twice(office: Office) -> None:
    """B33: an invoice named twice is refused."""
    office.bill("C-1", {"7": 5000})
    assert only_fault(office, invoices=["7", "7"]).problem == "named twice"


def test_a_number_on_cash(office: Office) -> None:
    """R6: a number on a cash payment is refused, and so is a card on it."""
    office.bill("C-1", {"7": 5000})
    assert only_fault(office, method="cash", number="1").field == "number"
    assert only_fault(office, method="cash", card=GOOD_CARD).field == "card"


def test_a_card_payment_without_a_card(office: Office) -> None:
    """R7: where cards are charged a card payment needs its card."""
    office.bill("C-1", {"7": 5000})
    assert only_fault(office, method="credit_card").field == "card_token"


def test_an_expired_card(office: Office) -> None:
    """B55: a card that was stored and has expired since is not taken again."""
    office.bill("C-1", {"7": 5000})
    [sealed] = office.producer.keep_cards([GOOD_CARD])
    office.do("UPDATE card_vault SET exp_year = 2020")
    assert only_fault(office, card_token=sealed.token).problem == "the card has expired"


def test_all_faults_at_once(office: Office) -> None:
    """Every invoice that cannot be paid is named, each with its reason."""
    office.bill("C-1", {"7": 5000})
    with pytest.raises(RequestRefused) as refused:
        office.pay("k", amount="1.00", invoices=["404", "7", "405"])
    assert [fault.value for fault in refused.value.faults] == ["404", "405"]


def test_nothing_owed(office: Office) -> None:
    """R1: a request that would pay nothing at entry is refused, unless it says as_credit."""
    office.bill("C-1", {"7": 5000, "8": 100})
    office.do("UPDATE invoices SET balance_minor = 0, state = 'paid' WHERE number = '7'")
    assert only_fault(office, invoices=["7"]).remedy == "Say as_credit to keep the sum as a credit"
    office.pay("k1", amount="10.00", invoices=["7"], as_credit=True)
    office.pay("k2", amount="10.00", invoices=["7", "8"])
    office.do("UPDATE invoices SET balance_minor = 0, state = 'paid'")
    assert "nothing is owed" in only_fault(office).problem


def test_the_same_key_again(office: Office) -> None:
    """B02, R15: the same key with the same content gives the first payment again, whatever has become of it since."""
    office.bill("C-1", {"7": 5000})
    first = office.pay("k1", GOOD_CARD, amount="50.00", invoices=["7"])
    office.do("UPDATE payments SET state = 'charging', next_step = NULL, due_at = NULL")
    office.do("UPDATE invoices SET balance_minor = 0, state = 'paid'")
    again = office.pay("k1", GOOD_CARD, amount="50.0", invoices=["7"])
    assert (again.payment_id, first.new, again.new) == (first.payment_id, True, False)
    assert (office.count("payments"), office.count("card_vault"), len(office.bell.rung)) == (1, 1, 1)


def test_the_same_key_for_something_else(office: Office) -> None:
    """R15: the same key with other content is an error; another caller's key is another key."""
    office.bill("C-1", {"7": 5000})
    first = office.pay("k1", amount="50.00")
    with pytest.raises(KeyReused, match="k1 was used before with other content"):
        office.pay("k1", amount="50.01")
    other = office.producer.pay(
        {"idempotency_key": "k1", "customer": "C-1", "method": "cash", "currency": "USD", "amount": "1.00"},
        caller="other shop",
        by="bob",
    )
    assert other.new
    assert other.payment_id != first.payment_id


def test_another_card_is_other_content(office: Office) -> None:
    """R15, C2: the card belongs to the content, whatever token it has; a stored card is not for one payment alone."""
    office.bill("C-1", {"7": 5000})
    office.pay("k1", GOOD_CARD, amount="50.00")
    [same] = office.producer.keep_cards([GOOD_CARD])
    assert office.pay("k2", amount="50.00", card_token=same.token, allow_overlap=True).new
    assert office.rows("SELECT card_once FROM payments ORDER BY id") == [(True,), (False,)]
    assert not office.pay("k1", amount="50.00", card_token=same.token).new
    [other] = office.producer.keep_cards([type(GOOD_CARD)("4012888888881881", 12, 2039)])
    with pytest.raises(KeyReused):
        office.pay("k1", amount="50.00", card_token=other.token)


def test_one_key_from_many_sides(office: Office) -> None:
    """R15: of many that ask at once with one key, one records the payment and the others get it."""
    office.bill("C-1", {"7": 5000})
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(office.pay, "k1", GOOD_CARD, amount="50.00", invoices=["7"]) for _ in range(16)]
        recorded = [one.result() for one in asked]
    assert len({one.payment_id for one in recorded}) == 1
    assert sum(one.new for one in recorded) == 1
    assert (office.count("payments"), office.count("card_vault")) == (1, 1)


def test_two_payments_that_look_alike(office: Office) -> None:
    """B11: the same card and amount for two invoices are two payments; nothing guesses that one is a duplicate."""
    office.bill("C-1", {"A": 5000, "B": 5000})
    office.pay("k1", GOOD_CARD, amount="50.00", invoices=["A"])
    assert office.pay("k2", GOOD_CARD, amount="50.00", invoices=["B"]).new


def overlap(office: Office, key: str, **fields: Any) -> str:
    """What is wrong with one more card payment."""
    with pytest.raises(RequestRefused) as refused:
        office.pay(key, GOOD_CARD, **fields)
    [fault] = refused.value.faults
    return fault.problem


def test_two_cards_for_one_invoice(office: Office) -> None:
    """R8a: card payments that together exceed what their common invoice owes overlap, unless that is meant."""
    office.bill("C-1", {"A": 10000, "B": 5000})
    office.pay("k1", GOOD_CARD, amount="60.00", invoices=["A"])
    office.pay("k2", GOOD_CARD, amount="40.00", invoices=["A"])
    office.pay("k3", GOOD_CARD, amount="50.00", invoices=["B"])
    assert "exceeds" in overlap(office, "k4", amount="0.01", invoices=["A"])
    assert "exceeds" in overlap(office, "k4", amount="50.00", invoices=["A", "B"])
    office.pay("k4", GOOD_CARD, amount="50.00", invoices=["A"], allow_overlap=True)


def test_what_has_ended_overlaps_with_nothing(office: Office) -> None:
    """R8a: a declined or cancelled payment, a check, another customer's card do not count."""
    office.bill("C-1", {"A": 10000})
    office.bill("C-2", {"A": 10000})
    declined = office.pay("k1", GOOD_CARD, amount="100.00", invoices=["A"])
    office.do(
        "UPDATE payments SET state = 'declined', next_step = NULL, due_at = NULL WHERE id = :i", i=declined.payment_id
    )
    office.pay("k2", amount="100.00", invoices=["A"])
    office.pay("k3", GOOD_CARD, amount="100.00", customer="C-2", invoices=["A"])
    office.pay("k4", GOOD_CARD, amount="150.00", invoices=["A"])


def test_a_card_payment_for_all_invoices(office: Office) -> None:
    """R8a: one that names no invoice overlaps with all of its customer's in that currency."""
    office.bill("C-1", {"A": 10000, "B": 5000})
    office.pay("k1", GOOD_CARD, amount="100.00")
    office.pay("k2", GOOD_CARD, amount="50.00", invoices=["B"])
    assert "exceeds" in overlap(office, "k3", amount="0.01")
    assert "exceeds" in overlap(office, "k3", amount="0.01", invoices=["A"])


def test_a_cap_limits_what_overlaps(office: Office) -> None:
    """R2, R8a: what a capped request leaves of an invoice is free for others."""
    office.bill("C-1", {"A": 10000, "B": 5000})
    office.pay("k1", GOOD_CARD, amount="90.00", invoices=[{"number": "A", "cap": "40.00"}, "B"])
    office.pay("k2", GOOD_CARD, amount="60.00", invoices=["A"])
    assert "exceeds" in overlap(office, "k3", amount="0.01", invoices=["B"])


def test_an_outcome_that_is_unknown(office: Office) -> None:
    """B01: while an overlapping outcome is unknown no other card is charged for it, allowed to overlap or not."""
    office.bill("C-1", {"A": 10000, "B": 5000})
    lost = office.pay("k1", GOOD_CARD, amount="50.00", invoices=["A"])
    office.do("UPDATE payments SET state = 'charging', next_step = NULL, due_at = NULL")
    office.do(
        """INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency,
                                             state, next_step, due_at, send_until, started_at)
           VALUES (:i, 'sale', 'payflow', 'a', 1, 5000, 'USD', 'unknown', 'inquire', now(), now(), now())""",
        i=lost.payment_id,
    )
    expected = f"the outcome of payment {lost.payment_id}, which is meant for the same invoices, is unknown"
    assert overlap(office, "k2", amount="50.00", invoices=["A"], allow_overlap=True) == expected
    assert overlap(office, "k2", amount="10.00") == expected
    office.pay("k2", GOOD_CARD, amount="50.00", invoices=["B"])
    office.pay("k3", amount="50.00", invoices=["A"])


def test_two_cards_at_the_same_moment(office: Office) -> None:
    """R8a, B35: of ten that ask at once to pay one invoice in full by card, one may."""
    office.bill("C-1", {"A": 10000})

    def ask(key: str) -> bool:
        try:
            return bool(office.pay(key, GOOD_CARD, amount="100.00", invoices=["A"]).new)
        except RequestRefused:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, [f"k{n}" for n in range(10)])) == 1
    assert office.count("payments") == 1


def test_a_failed_commit_wakes_nobody(office: Office) -> None:
    """B06: what is rolled back is never announced."""
    office.bill("C-1", {"7": 5000})
    office.do("ALTER TABLE payments ADD CONSTRAINT broken CHECK (total_minor <> 666)")
    try:
        with pytest.raises(Exception, match="broken"):
            office.pay("k1", amount="6.66")
    finally:
        office.do("ALTER TABLE payments DROP CONSTRAINT broken")
    assert not office.bell.rung
    assert office.count("payments") == 0
