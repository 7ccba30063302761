"""R17: a part of a posted card payment goes back to the card; disputes; nothing is returned twice."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from books import credit, dispute, refund, reverse
from rules.errors import MoveRefused, NotFound, RequestRefused
from sandbox.client import answer, close, page
from tests.flows.house import AMEX, VISA, House, at_once, card, refused_by_the_database


def charged(house: House, amount: int = 6000, owed: dict[str, int] | None = None, number: str = VISA) -> int:
    """Invoices A (4,000) and B (1,500), paid by card with 500 too much, and settled at the gateway."""
    house.bill("C-1", owed or {"A": 4000, "B": 1500})
    payment = house.pay(amount, card(number, "1234" if number == AMEX else "123"))
    house.work()
    assert house.state(payment) == "posted"
    house.sandbox.client.settle()
    return payment


def ask(house: House, payment: int, amount: int | None) -> int:
    """Ask for a refund; nothing is sent yet."""
    with house.context.transaction() as (conn, now):
        return refund.ask(conn, payment, amount, "goods returned", now, "sue")


def sums(house: House, payment: int) -> tuple[int, int, int, int]:
    """Applied, credited, refunded, charged back."""
    row = house.payment(payment)
    return row.applied_minor, row.credited_minor, row.refunded_minor, row.charged_back_minor


def refundable(house: House, payment: int) -> int:
    """What can still be refunded."""
    with house.context.transaction() as (conn, _):
        return refund.charge(conn, payment).refundable_minor


def fails_at_the_gateway(house: House, reversal: int) -> None:
    """The next inquiry about an accepted refund hears that it was not made after all."""
    [pnref] = house.rows("SELECT transaction_id FROM gateway_transactions WHERE reversal_id = :id", id=reversal)
    said = f"RESULT=0&PNREF=A10A7C3E51D2&RESPMSG=Approved&ORIGRESULT=12&ORIGPNREF={pnref[0]}"
    house.sandbox.client.scenario(before=[page(200, said, "text/namevalue")], operation="inquiry")
    house.do(
        "UPDATE reversals SET due_at = due_at + interval '1 year' WHERE id <> :id AND due_at IS NOT NULL", id=reversal
    )
    house.advance(days=14)
    house.work()


def net(house: House) -> int:
    """What the card was charged in the end."""
    return house.sandbox.client.card(VISA).net


def test_credit_first_then_the_newest_application(house: House) -> None:
    """R17: 500 of unused credit go first, then B (the newest), then A; each is booked when the gateway approved."""
    payment = charged(house)
    assert (sums(house, payment), house.credit()) == ((5500, 500, 0, 0), 500)
    ask(house, payment, 700)
    assert (sums(house, payment), house.credit()) == ((5500, 500, 0, 0), 500)
    assert refundable(house, payment) == 5300
    house.work()
    assert (sums(house, payment), house.credit()) == ((5300, 0, 700, 0), 0)
    assert house.invoices() == {"A": ("paid", 0), "B": ("pending", 200)}
    assert net(house) == 5300
    ask(house, payment, 2000)
    house.work()
    assert house.invoices() == {"A": ("pending", 700), "B": ("pending", 1500)}
    assert (house.state(payment), sums(house, payment)) == ("posted", (3300, 0, 2700, 0))
    ask(house, payment, None)
    house.work()
    assert (sums(house, payment), net(house)) == ((0, 0, 6000, 0), 0)
    assert refundable(house, payment) == 0
    assert house.ledger() == {"receivable": 5500, "revenue": -5500}


def test_through_a_credit_that_paid(house: House) -> None:
    """R17: where the payment's credit has paid another invoice, that application is the newest, and goes first."""
    payment = charged(house)
    house.bill("C-1", {"C": 500})
    with house.context.transaction() as (conn, now):
        [used] = house.rows("SELECT customer_id AS id FROM payments WHERE id = :id", id=payment)
        credit.apply_to_invoices(conn, used.id, "USD", None, house.context.terms.today(now), now, "ann")
    assert house.invoices()["C"] == ("paid", 0)
    ask(house, payment, 300)
    house.work()
    assert house.invoices() == {"A": ("paid", 0), "B": ("paid", 0), "C": ("pending", 300)}
    assert sums(house, payment) == (5500, 200, 300, 0)


def test_no_more_than_was_charged(house: House) -> None:
    """R17: refunds under way are reserved: what is more than the rest is refused, with what can be refunded."""
    payment = charged(house)
    ask(house, payment, 4000)
    with pytest.raises(RequestRefused, match=r"20\.01 USD.*20\.00 USD that can be refunded"):
        ask(house, payment, 2001)
    ask(house, payment, 2000)
    with pytest.raises(RequestRefused, match="nothing of this charge can be refunded now"):
        ask(house, payment, None)
    house.work()
    assert (sums(house, payment), net(house)) == ((0, 0, 6000, 0), 0)


def test_parallel_refunds(house: House) -> None:
    """R17: of eight who ask at once for a quarter each, four get it; each is sent once."""
    payment = charged(house)

    def one() -> int:
        try:
            return ask(house, payment, 1500)
        except RequestRefused:
            return 0

    given = [reversal for reversal in at_once(*[one] * 8) if reversal]
    assert len(given) == 4
    house.work()
    assert (sums(house, payment), net(house)) == ((0, 0, 6000, 0), 0)
    assert len(house.sandbox.client.requests(operation="refund")) == 4


def test_what_is_refused_counts_for_nothing(house: House) -> None:
    """R17: a refund that the gateway refuses moves nothing, and can be tried again."""
    payment = charged(house)
    house.sandbox.client.scenario(before=[answer("117")], operation="refund")
    ask(house, payment, 1000)
    house.work()
    assert house.reversal(payment).state == "failed"
    assert (sums(house, payment), refundable(house, payment), net(house)) == ((5500, 500, 0, 0), 6000, 6000)
    ask(house, payment, 1000)
    house.work()
    assert (sums(house, payment), net(house)) == ((5000, 0, 1000, 0), 5000)


def test_an_answer_that_was_lost(house: House) -> None:
    """B47, E4: a refund whose answer is lost is looked up, and returns the money once."""
    payment = charged(house)
    house.sandbox.client.scenario(after=[close()], operation="refund")
    ask(house, payment, 1000)
    house.work()
    assert sums(house, payment) == (5500, 500, 0, 0)
    assert refundable(house, payment) == 5000
    house.advance(hours=1)
    house.work()
    assert (sums(house, payment), net(house)) == ((5000, 0, 1000, 0), 5000)


def test_one_that_fails_weeks_later(house: House) -> None:
    """R17: accepted is not final: one that fails after all is the customer's credit again, with a note and an alarm."""
    payment = charged(house)
    ask(house, payment, 1000)
    house.work()
    assert house.reversal(payment).state == "refund_accepted"
    fails_at_the_gateway(house, house.reversal(payment).id)
    assert house.reversal(payment).state == "failed"
    assert (sums(house, payment), house.credit()) == ((5000, 1000, 0, 0), 1000)
    [note] = house.rows("SELECT note FROM credits WHERE balance_minor > 0")
    assert "its refund failed at the gateway" in note.note
    assert house.alarms() == ["alarm.reversal"]
    ask(house, payment, 1000)
    assert refundable(house, payment) == 5000


def test_only_a_posted_charge(house: House) -> None:
    """R17: what was not charged, or is not posted, is not refunded; a void waits for a refund under way."""
    house.bill("C-1", {"A": 6000})
    check = house.pay(1000)
    house.work()
    with pytest.raises(MoveRefused, match="No card was charged"):
        ask(house, check, 100)
    with pytest.raises(NotFound):
        ask(house, 10**12, 100)
    payment = house.pay(5000, card())
    with pytest.raises(MoveRefused, match="The payment is requested"):
        ask(house, payment, 100)
    house.work()
    house.sandbox.client.settle()
    ask(house, payment, 100)
    with pytest.raises(MoveRefused, match="under way"):
        house.void(payment)
    house.work()
    house.void(payment)
    assert house.reversal(payment).state == "refund_due"
    house.work()
    assert (house.state(payment), net(house)) == ("voided", 0)
    assert house.sandbox.client.requests(operation="void") == []


def test_a_void_after_a_part_asks(house: House) -> None:
    """R11, R12: after any refund was begun no void is sent; by policy ask, the rest waits for an answer at once."""
    payment = charged(house)
    ask(house, payment, 1000)
    house.work()
    house.void(payment, policy="ask")
    assert house.reversal(payment).state == "refund_awaiting_approval"
    house.approve_refund(payment)
    house.work()
    assert net(house) == 0
    assert house.sandbox.client.requests(operation="void") == []


def test_a_refund_that_fails_after_the_void(house: House) -> None:
    """R12, R17: the payment was voided meanwhile: the part that came back is kept as a credit, nothing is lost."""
    payment = charged(house)
    reversal = ask(house, payment, 1000)
    house.work()
    house.void(payment)
    house.work()
    assert net(house) == 0
    fails_at_the_gateway(house, reversal)
    assert [row.state for row in house.rows("SELECT state FROM reversals ORDER BY id")] == ["kept", "refund_accepted"]
    assert (house.state(payment), house.credit()) == ("voided", 1000)


def test_a_dispute_in_between(house: House) -> None:
    """R17: nothing that is disputed is refunded; won, it comes back; lost, invoices are owed again."""
    payment = charged(house)
    ask(house, payment, 2000)
    with house.context.transaction() as (conn, now):
        today = house.context.terms.today(now)
        assert dispute.open_case(conn, payment, "CB-1", 5000, "not received", today, now, "sue")
        assert not dispute.open_case(conn, payment, "CB-1", 5000, "not received", today, now, "sue")
    assert house.ledger()["disputed:payflow"] == 5000
    house.work()
    assert house.reversal(payment).state == "failed"
    assert house.sandbox.client.requests(operation="refund") == []
    assert refundable(house, payment) == 1000
    with pytest.raises(MoveRefused, match="disputes this charge"):
        house.void(payment)
    with house.context.transaction() as (conn, now):
        today = house.context.terms.today(now)
        dispute.win(conn, payment, "CB-1", "proof of delivery", today, now, "sue")
    assert refundable(house, payment) == 6000
    with house.context.transaction() as (conn, now):
        today = house.context.terms.today(now)
        with pytest.raises(MoveRefused):
            dispute.lose(conn, payment, "CB-1", "too late", today, now, "sue")
        dispute.open_case(conn, payment, "CB-2", 700, "broken", today, now, "sue")
        ended = dispute.lose(conn, payment, "CB-2", "no proof", today, now, "sue")
    assert (ended.taken_minor, ended.lost_minor) == (700, 0)
    assert (sums(house, payment), house.credit()) == ((5300, 0, 0, 700), 0)
    assert house.invoices() == {"A": ("paid", 0), "B": ("pending", 200)}


def test_a_dispute_over_what_went_back(house: House) -> None:
    """R17: a dispute that is lost over money that had been refunded is a loss, with an alarm."""
    payment = charged(house)
    ask(house, payment, 5000)
    house.work()
    with house.context.transaction() as (conn, now):
        today = house.context.terms.today(now)
        dispute.open_case(conn, payment, "CB-1", 6000, "fraud", today, now, "sue")
        ended = dispute.lose(conn, payment, "CB-1", "no answer", today, now, "sue")
    assert (ended.taken_minor, ended.lost_minor) == (1000, 5000)
    assert house.ledger()["dispute_losses"] == 5000
    assert house.alarms() == ["alarm.dispute_loss"]


def test_a_dispute_ends_after_the_refund_that_is_on_its_way(house: House) -> None:
    """R17: no dispute is lost while a refund may have been made: books that gave all away could not record it."""
    payment = charged(house)
    house.sandbox.client.scenario(after=[close()], operation="refund")
    ask(house, payment, 2000)
    house.work()

    def lose() -> dispute.Ended:
        with house.context.transaction() as (conn, now):
            today = house.context.terms.today(now)
            dispute.open_case(conn, payment, "CB-1", 6000, "fraud", today, now, "sue")
            return dispute.lose(conn, payment, "CB-1", "no answer", today, now, "sue")

    with pytest.raises(MoveRefused, match="on its way"):
        lose()
    house.advance(hours=1)
    house.work()
    ended = lose()
    assert (ended.taken_minor, ended.lost_minor) == (4000, 2000)
    assert sums(house, payment) == (0, 0, 2000, 4000)


def test_a_dispute_ends_while_a_refund_is_begun(house: House) -> None:
    """R17: losing a dispute waits for a refund that is begun at the same moment, and then sees it."""
    payment = charged(house)
    ask(house, payment, 2000)

    def lose() -> dispute.Ended:
        with house.context.transaction() as (conn, now):
            today = house.context.terms.today(now)
            dispute.open_case(conn, payment, "CB-1", 6000, "fraud", today, now, "sue")
            conn.exec_driver_sql("SET LOCAL application_name = 'loses a dispute'")
            return dispute.lose(conn, payment, "CB-1", "no answer", today, now, "sue")

    waits = "SELECT FROM pg_stat_activity WHERE application_name = 'loses a dispute' AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        with house.context.transaction() as (conn, now):
            assert reverse.begin_refunds(conn, payment, 1, house.context.terms, now, "worker")
            losing = pool.submit(lose)
            while not (losing.done() or house.rows(waits)):
                pass
        with pytest.raises(MoveRefused, match="on its way"):
            losing.result()


def test_a_refund_that_fails_after_the_dispute(house: House) -> None:
    """R17: what the bank gave the payer, and a refund did not, is no credit, and is never refunded again."""
    payment = charged(house)
    reversal = ask(house, payment, 2000)
    house.work()
    with house.context.transaction() as (conn, now):
        today = house.context.terms.today(now)
        dispute.open_case(conn, payment, "CB-1", 5000, "fraud", today, now, "sue")
        assert dispute.lose(conn, payment, "CB-1", "no answer", today, now, "sue").lost_minor == 1000
    fails_at_the_gateway(house, reversal)
    assert (sums(house, payment), house.credit()) == ((0, 1000, 0, 5000), 1000)
    assert refundable(house, payment) == 1000
    assert house.ledger().get("dispute_losses", 0) == 0


def test_a_void_whose_charge_the_bank_took_back(house: House) -> None:
    """R11, R17: a dispute that was lost before the refund of a void was sent: the payer has it, nothing is sent."""
    payment = charged(house)
    house.void(payment)
    with house.context.transaction() as (conn, now):
        today = house.context.terms.today(now)
        dispute.open_case(conn, payment, "CB-1", 6000, "fraud", today, now, "sue")
        assert dispute.lose(conn, payment, "CB-1", "no answer", today, now, "sue").lost_minor == 6000
    house.work()
    assert house.sandbox.client.requests(operation="refund") == []
    assert house.reversal(payment).state == "failed"


def test_a_void_whose_charge_the_bank_took_back_is_no_credit(house: House) -> None:
    """R12, R17: what the bank gave the payer, or may yet give, is not kept as a credit of theirs, too."""
    payment = charged(house)
    house.void(payment, policy="ask")
    house.work()
    assert house.reversal(payment).state == "refund_awaiting_approval"
    with house.context.transaction() as (conn, now):
        dispute.open_case(conn, payment, "CB-1", 6000, "fraud", house.context.terms.today(now), now, "sue")
    with pytest.raises(MoveRefused, match="dispute"):
        house.keep(payment)
    with house.context.transaction() as (conn, now):
        dispute.lose(conn, payment, "CB-1", "no answer", house.context.terms.today(now), now, "sue")
    with pytest.raises(MoveRefused, match="dispute"):
        house.keep(payment)
    assert (house.credit(), house.reversal(payment).state) == (0, "refund_awaiting_approval")


def test_a_dispute_over_what_was_kept(house: House) -> None:
    """R12, R17: a dispute that is lost over a charge that became a credit takes the credit."""
    payment = charged(house)
    house.void(payment, policy="ask")
    house.work()
    house.keep(payment)
    assert house.credit() == 6000
    with house.context.transaction() as (conn, now):
        today = house.context.terms.today(now)
        dispute.open_case(conn, payment, "CB-1", 6000, "fraud", today, now, "sue")
        dispute.lose(conn, payment, "CB-1", "no answer", today, now, "sue")
    assert house.credit() == 0


def test_a_refund_that_fails_after_void_and_dispute(house: House) -> None:
    """R12, R17: of a voided payment, too, a failed refund that the bank had given the payer makes no credit."""
    payment = charged(house)
    reversal = ask(house, payment, 2000)
    house.work()
    house.void(payment, policy="ask")
    with house.context.transaction() as (conn, now):
        today = house.context.terms.today(now)
        dispute.open_case(conn, payment, "CB-1", 6000, "fraud", today, now, "sue")
        dispute.lose(conn, payment, "CB-1", "no answer", today, now, "sue")
    fails_at_the_gateway(house, reversal)
    assert (sums(house, payment), house.credit()) == ((0, 0, 0, 2000), 0)


def test_set_aside(house: House) -> None:
    """An approval that the database refuses is set aside with an alarm; when it can be recorded, it is."""
    payment = charged(house)
    ask(house, payment, 1000)
    with refused_by_the_database(house, "payments", "refunded_minor > 0"):
        house.reverse()
    assert house.alarms() == ["alarm.outcome_set_aside"]
    house.advance(hours=1)
    house.work()
    assert (sums(house, payment), net(house)) == ((5000, 0, 1000, 0), 5000)


@pytest.mark.parametrize("seed", range(4))
def test_any_order(house: House, seed: int) -> None:
    """R17, B2: whatever is refunded, disputed, won, lost and applied in whatever order: no cent is lost (the audit)."""
    draw = random.Random(seed)
    payment = charged(house)
    house.bill("C-1", {"C": 300, "D": 900})
    cases = 0
    for _ in range(12):
        deed = draw.choice(("refund", "refund", "dispute", "decide", "credit", "work"))
        with house.context.transaction() as (conn, now):
            today = house.context.terms.today(now)
            try:
                match deed:
                    case "refund":
                        refund.ask(conn, payment, draw.randrange(1, 2500), "returned", now, "sue")
                    case "dispute":
                        cases += 1
                        dispute.open_case(
                            conn, payment, f"CB-{cases}", draw.randrange(1, 2500), "fraud", today, now, "sue"
                        )
                    case "decide":
                        end = draw.choice((dispute.win, dispute.lose))
                        end(conn, payment, f"CB-{draw.randint(1, max(cases, 1))}", "decided", today, now, "sue")
                    case "credit":
                        owner = house.payment(payment).customer_id
                        credit.apply_to_invoices(conn, owner, "USD", None, today, now, "ann")
            except (RequestRefused, MoveRefused, NotFound):
                continue
        if deed == "work":
            house.work()
    house.work()
    row = house.payment(payment)
    assert net(house) == 6000 - row.refunded_minor
