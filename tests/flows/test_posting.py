"""Posting: how sums spread over invoices, what is left over, and who waits for whom (R1-R5, R14, B3)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from books import credit, post
from books.claim import Single
from rules.errors import MoveRefused, NotFound, RequestRefused
from sandbox.client import hold, reset
from tests.faults.plant import until
from tests.flows.house import House, at_once, build, card, refused_by_the_database, settings_for


def use_credit(
    house: House, invoices: Sequence[str] | None = None, customer: str = "C-1", currency: str = "USD"
) -> list[int]:
    """Apply a customer's credits; the amounts applied, in their order."""
    owner = house.row("SELECT id FROM customers WHERE number = :number", number=customer).id
    ids = None
    if invoices is not None:
        known = {row.number: row.id for row in house.rows("SELECT id, number FROM invoices")}
        ids = [known[number] for number in invoices]
    with house.context.transaction() as (conn, now):
        today = house.context.terms.today(now)
        return [one.amount_minor for one in credit.apply_to_invoices(conn, owner, currency, ids, today, now, "sue")]


def take_back(house: House, allocation_id: int) -> int:
    """Undo one application of a credit."""
    with house.context.transaction() as (conn, now):
        today = house.context.terms.today(now)
        return credit.take_back(conn, allocation_id, "wrong invoice", today, now, "sue").amount_minor


def post_one(house: House, payment: int) -> int:
    """Post one payment, as a worker of its own would."""
    with house.context.transaction() as (conn, now):
        return post.post_due(conn, Single(payment), 1, house.context.terms.today(now), now, "defray").posted


def test_a_sum_goes_to_the_oldest_invoices_first(house: House) -> None:
    """R1, R2, B32: 2,000 of 5,000 are paid already; 10,000 more close both invoices, no credit."""
    house.bill("C-1", {"A": 5000, "B": 7000})
    for amount in (2000, 10_000):
        house.pay(amount)
        house.post()
    assert house.invoices() == {"A": ("paid", 0), "B": ("paid", 0)}
    assert house.credit() == 0


def test_named_invoices_are_paid_in_the_order_given(house: House) -> None:
    """R1: the request names C, then A; the oldest gets what is left."""
    house.bill("C-1", {"A": 5000, "B": 5000, "C": 5000})
    house.pay(7000, invoices=["C", "A"])
    house.post()
    assert house.invoices() == {"A": ("pending", 3000), "B": ("pending", 5000), "C": ("paid", 0)}


def test_an_invoice_counts_once(house: House) -> None:
    """R1, B33: an invoice that is named twice is refused, whole; nothing is recorded."""
    house.bill("C-1", {"A": 5000})
    with pytest.raises(RequestRefused, match="A"):
        house.pay(1000, invoices=["A", "A"])
    assert house.rows("SELECT * FROM payments") == []


def test_what_is_left_over_becomes_a_credit_with_its_origin(house: House) -> None:
    """R3, B70: 4,000 on an invoice of 500: 500 applied, 3,500 credit, and a note from which payment."""
    house.bill("C-1", {"A": 500})
    payment = house.pay(4000, number="1077", post_date="2026-03-04")
    house.post()
    row = house.payment(payment)
    assert (row.applied_minor, row.credited_minor) == (500, 3500)
    note = house.row("SELECT note FROM credits").note
    assert note == f"From payment {payment} of 2026-03-04 by check no. 1077"
    assert house.ledger() == {"revenue": -500, "customer_credit": -3500, "cash:check": 4000}


def test_a_credit_pays_as_far_as_it_goes(house: House) -> None:
    """R14, B36: a credit of 1,000 on an invoice of 5,000: balance 4,000, credit 0, one movement that links both."""
    house.bill("C-1", {"A": 500})
    house.pay(1500)
    house.post()
    house.bill("C-1", {"B": 5000})
    assert use_credit(house, ["B"]) == [1000]
    assert house.invoices()["B"] == ("pending", 4000)
    assert house.credit() == 0
    moved = house.row("SELECT amount_minor FROM allocations WHERE credit_id IS NOT NULL")
    assert moved.amount_minor == 1000
    assert use_credit(house) == [], "used up"


def test_left_over_is_usable_on_a_bigger_invoice(house: House) -> None:
    """R14, B38: overpaid by 595, then an invoice of 5,710: balance 5,115, credit 0."""
    house.bill("C-1", {"A": 1000})
    house.pay(1595)
    house.post()
    house.bill("C-1", {"B": 5710})
    assert use_credit(house) == [595]
    assert house.invoices()["B"] == ("pending", 5115)
    assert house.credit() == 0


def test_credits_are_used_oldest_first_and_only_for_debts(house: House) -> None:
    """R14, B40: two credits meet two invoices, the older credit first; the rest stays a credit."""
    house.bill("C-1", {"A": 100})
    for amount in (300, 500):
        house.pay(amount, as_credit=True)
        house.post()
    house.bill("C-1", {"B": 250, "C": 100})
    assert use_credit(house) == [200, 50, 100]
    assert house.credit() == 350
    assert {state for state, _ in house.invoices().values()} == {"paid"}


def test_an_application_can_be_taken_back(house: House) -> None:
    """R14: the invoice owes again, the credit has it back; a second time is refused."""
    house.bill("C-1", {"A": 500})
    house.pay(1500)
    house.post()
    house.bill("C-1", {"B": 400})
    use_credit(house)
    application = house.row("SELECT id FROM allocations WHERE credit_id IS NOT NULL").id
    assert take_back(house, application) == 400
    assert (house.invoices()["B"], house.credit()) == (("pending", 400), 1000)
    with pytest.raises(MoveRefused, match="undone before"):
        take_back(house, application)
    with pytest.raises(NotFound):
        take_back(house, 1)
    use_credit(house)
    assert (house.invoices()["B"], house.credit()) == (("paid", 0), 600)


def test_currencies_never_meet(house: House) -> None:
    """R14: a payment and a credit in euros touch no invoice in dollars."""
    house.bill("C-1", {"A": 500})
    house.bill("C-1", {"E": 700}, currency="EUR")
    house.pay(1000, currency="EUR")
    house.post()
    assert house.invoices() == {"A": ("pending", 500), "E": ("paid", 0)}
    assert use_credit(house) == []
    assert use_credit(house, ["A"], currency="EUR") == []
    with pytest.raises(RequestRefused, match="in USD"):
        house.pay(100, currency="EUR", invoices=["A"])


def test_a_void_takes_back_what_its_credit_had_paid(house: House) -> None:
    """R10, B39: 12,000 on 10,000; 1,500 of the credit pay B; voided: A and B are open again, no credit is left."""
    house.bill("C-1", {"A": 10_000})
    payment = house.pay(12_000)
    house.post()
    house.bill("C-1", {"B": 3000})
    use_credit(house)
    assert house.invoices() == {"A": ("paid", 0), "B": ("pending", 1000)}
    voided = house.void(payment)
    assert house.invoices() == {"A": ("pending", 10_000), "B": ("pending", 3000)}
    assert (house.credit(), voided.taken_back_minor) == (0, 2000)
    assert house.ledger() == {"receivable": 13_000, "revenue": -13_000}


def test_a_void_leaves_other_payments_and_credits_alone(house: House) -> None:
    """R10, B42: of two payments and two credits on the same invoices only the voided one's parts go back."""
    house.bill("C-1", {"A": 6000, "B": 4000})
    first = house.pay(7000)
    house.post()
    house.pay(4000)
    house.post()
    assert (house.invoices(), house.credit()) == ({"A": ("paid", 0), "B": ("paid", 0)}, 1000)
    house.void(first)
    assert house.invoices() == {"A": ("pending", 6000), "B": ("pending", 1000)}
    assert house.credit() == 1000


def test_a_credit_whose_application_was_taken_back_is_voided_whole(house: House) -> None:
    """R10, R14: applied, taken back, applied in part again, then voided: each unit goes back once."""
    house.bill("C-1", {"A": 1000})
    payment = house.pay(3000)
    house.post()
    house.bill("C-1", {"B": 700})
    use_credit(house)
    take_back(house, house.row("SELECT id FROM allocations WHERE credit_id IS NOT NULL").id)
    house.bill("C-1", {"C": 100})
    use_credit(house, ["C"])
    house.void(payment)
    assert house.invoices() == {"A": ("pending", 1000), "B": ("pending", 700), "C": ("pending", 100)}
    assert house.credit() == 0


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_post_date_is_the_business_day(
    house: House, zone: str, database_url: str, redis_url: str, tmp_path: Any
) -> None:
    """R5: where the business is, not where the server is; a given date stands; when it was recorded is kept."""
    keys = str(tmp_path / "keys.json")
    settings = settings_for(house.sandbox, database_url, redis_url, keys, DEFRAY_BUSINESS_TIME_ZONE=zone)
    far = build(house.engine, settings, house.sandbox)
    far.bill("C-1", {"A": 500, "B": 500, "C": 500})
    here = house.sandbox.client.now()
    there = here.astimezone(ZoneInfo(zone)).date()
    check, dated = far.pay(500), far.pay(500, post_date="2030-12-31")
    charged = far.pay(500, card())
    far.work()
    assert [far.payment(one).post_date for one in (check, dated, charged)] == [there, date(2030, 12, 31), there]
    assert abs(far.payment(dated).recorded_at - here) < timedelta(minutes=1)
    booked = far.row("SELECT post_date FROM journal WHERE payment_id = :id", id=dated)
    assert booked.post_date == date(2030, 12, 31)
    far.context.wake.close()


def test_a_charge_is_dated_by_its_approval(house: House) -> None:
    """R5: declined today, approved days later: the post date is the day of the approval."""
    house.bill("C-1", {"A": 500})
    payment = house.pay(500, card("4000050000010006"))
    house.charge()
    assert house.payment(payment).post_date is None
    house.advance(days=8)
    house.work()
    today = house.sandbox.client.now().astimezone(ZoneInfo("America/New_York")).date()
    assert house.payment(payment).post_date == today


def test_one_check_pays_thousands_of_invoices(house: House) -> None:
    """R1: 3,000 invoices and a cent too little: all but the youngest are paid, in one transaction."""
    house.bill("C-1", {f"{number:05}": 100 + number for number in range(3000)})
    total = sum(100 + number for number in range(3000))
    payment = house.pay(total - 1)
    house.post()
    left = {number: owed for number, owed in house.invoices().items() if owed[1]}
    assert left == {"02999": ("pending", 1)}
    assert house.row("SELECT count(*) AS parts FROM allocations").parts == 3000
    house.void(payment)
    assert {state for state, _ in house.invoices().values()} == {"pending"}


def test_ten_checks_for_one_invoice_at_once(house: House) -> None:
    """B35, B3: ten workers post 500 each to an invoice of 500: it is paid once, the rest are credits."""
    house.bill("C-1", {"A": 500})
    payments = [house.pay(500) for _ in range(10)]
    posted = at_once(*[lambda payment=payment: post_one(house, payment) for payment in payments])
    assert posted == [1] * 10
    assert house.invoices() == {"A": ("paid", 0)}
    assert house.credit() == 4500
    assert house.row("SELECT count(*) AS parts FROM allocations").parts == 1


def test_one_payment_for_many_workers(house: House) -> None:
    """D2, D4: eight workers are woken for one payment: one posts it, the others find nothing."""
    house.bill("C-1", {"A": 500})
    payment = house.pay(500)
    assert sorted(map(str, at_once(*[lambda: post_one(house, payment)] * 8))) == ["0"] * 7 + ["1"]


def test_a_credit_is_used_once_by_two_at_once(house: House) -> None:
    """B35: two clerks use a credit of 500 on two invoices at once."""
    house.bill("C-1", {"A": 100})
    house.pay(600)
    house.post()
    house.bill("C-1", {"B": 400, "C": 400})
    applied = at_once(lambda: use_credit(house, ["B"]), lambda: use_credit(house, ["C"]))
    assert sum(sum(part) for part in applied if isinstance(part, list)) == 500
    assert house.credit() == 0
    assert sum(owed for _, owed in house.invoices().values()) == 300


def test_a_void_beside_a_posting(house: House) -> None:
    """B35, B3: a void and another payment's posting at once end as one after the other."""
    for round_ in range(4):
        customer = f"C-{round_}"
        house.bill(customer, {"A": 500})
        first, second = house.pay(500, customer=customer), house.pay(500, customer=customer)
        post_one(house, first)
        at_once(
            lambda first=first: house.void(first),  # type: ignore[misc]
            lambda second=second: post_one(house, second),  # type: ignore[misc]
        )
        ended = (house.invoices(customer)["A"][1], house.credit(customer))
        assert ended in {(0, 0), (500, 500)}


def test_payments_of_one_customer_end_as_one_after_another(house: House) -> None:
    """B3: forty checks, six workers: in all as much is applied and credited as if one worker had posted them."""
    house.bill("C-1", {f"{number:02}": 100 for number in range(25)})
    for number in range(40):
        named: dict[str, Any] = {"invoices": ["07", "03"]} if number % 4 == 0 else {}
        house.pay(60 + number, as_credit=True, **named)
    at_once(*[house.post] * 6)
    house.post()
    paid = sum(60 + number for number in range(40))
    owed = sum(owed for _, owed in house.invoices().values())
    sums = house.row("SELECT sum(applied_minor) AS applied, sum(credited_minor) AS credited FROM payments")
    assert int(sums.applied) == 2500 - owed
    assert int(sums.applied + sums.credited) == paid
    assert house.credit() == int(sums.credited)


def test_a_poisoned_payment_is_set_aside_and_its_neighbours_are_posted(house: House) -> None:
    """DESIGN 3: what the database refuses waits with an alarm; the others of its group are posted."""
    house.bill("C-1", {"A": 13_013, "B": 500})
    house.bill("C-2", {"A": 700})
    bad = house.pay(13_013, invoices=["A"])
    good = [house.pay(500, invoices=["B"]), house.pay(700, customer="C-2")]
    with refused_by_the_database(house, "allocations", "amount_minor = 13013"):
        house.post()
        assert [house.state(one) for one in good] == ["posted", "posted"]
        assert house.state(bad) == "requested"
        assert house.alarms() == ["alarm.payment_set_aside"]
    assert house.post() == 0, "not at once again"
    house.advance(minutes=16)
    house.post()
    assert house.state(bad) == "posted"


def test_a_poisoned_charge_is_set_aside_before_it_is_sent(house: House) -> None:
    """E1, DESIGN 3: a sale that can't be committed as started is not sent; its neighbours are charged."""
    house.bill("C-1", {"A": 13_013, "B": 500})
    bad, good = house.pay(13_013, card(), invoices=["A"]), house.pay(500, card(), invoices=["B"])
    with refused_by_the_database(house, "gateway_transactions", "amount_minor = 13013"):
        house.charge()
        assert (house.state(bad), house.state(good)) == ("requested", "posted")
        assert house.alarms() == ["alarm.payment_set_aside"]
        assert house.sandbox.client.request_count() == 1
    house.advance(minutes=16)
    house.work()
    assert house.state(bad) == "posted"
    assert house.sandbox.client.card("4111111111111111").charged == 2


def test_a_poisoned_outcome_is_set_aside_and_found_again(house: House) -> None:
    """DESIGN 3, E4: an approval that can't be recorded is no lost money: its evidence stands, an inquiry finds it."""
    house.bill("C-1", {"A": 13_013, "B": 500})
    bad, good = house.pay(13_013, card(), invoices=["A"]), house.pay(500, card(), invoices=["B"])
    poison = "state = 'approved' AND amount_minor = 13013"
    with refused_by_the_database(house, "gateway_transactions", poison):
        house.charge()
        assert (house.state(bad), house.state(good)) == ("charging", "posted")
        assert house.alarms() == ["alarm.outcome_set_aside"]
        assert house.row("SELECT count(*) AS said FROM evidence").said == 2
        house.advance(minutes=5)
        house.look_up()
        assert house.sales(bad) == ["unknown"]
    for _ in range(3):
        house.advance(hours=1)
        house.work()
    assert (house.state(bad), house.sales(bad)) == ("posted", ["approved"])
    assert house.sandbox.client.card("4111111111111111").charged == 2


@pytest.mark.parametrize("operation", ["sale", "inquiry", "void", "refund"])
def test_no_transaction_is_open_while_a_gateway_is_called(house: House, operation: str) -> None:
    """DESIGN 8: begin commits, the call is made with nothing open and nothing locked, finish commits."""
    house.bill("C-1", {"A": 500})
    payment = house.pay(500, card())
    if operation != "sale":
        if operation == "inquiry":
            house.sandbox.client.scenario(after=[reset()], operation="sale")
        house.charge()
        house.advance(minutes=1)
    if operation in ("void", "refund"):
        if operation == "refund":
            house.sandbox.client.settle()
        house.void(payment)
    house.sandbox.client.scenario(after=[hold("calling")], operation=operation)
    working = threading.Thread(target=house.work)
    working.start()
    house.sandbox.client.wait_for("calling")
    # The worker looks for more while it waits: what is open for a moment only is not open for the call.
    open_now = (
        "SELECT state, query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND state <> 'idle'"
    )
    until(lambda: not house.rows(open_now), "nothing is open")
    free = house.rows("SELECT c.id FROM customers c JOIN payments p ON true FOR UPDATE NOWAIT")
    house.sandbox.client.release("calling", stay_open=True)
    working.join(10)
    assert len(free) == 1
    assert not working.is_alive()
