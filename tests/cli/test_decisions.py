"""The verbs by which people undo and decide, each over the real command."""

from __future__ import annotations

from sandbox.client import answer, close, reset
from tests.cli.conftest import Desk
from tests.flows.house import House, card

NO_FUNDS = "4000000000009995"
WHY = ("--reason", "the customer called", "--by", "sue")


def charged(house: House, amount: int = 6000) -> int:
    """A posted card payment."""
    house.bill("C-1", {"A": amount})
    payment = house.pay(amount, card())
    house.work()
    return payment


def test_void_and_its_refund_by_itself(desk: Desk) -> None:
    """R10, R12: a void opens the invoices again; with --refund auto the refund follows without a question."""
    payment = charged(desk.house)
    desk.house.sandbox.client.settle()
    done = desk.ask("void", payment, "--refund", "auto", *WHY)
    assert done["reopened"][0][1] == 6000
    desk.house.work()
    assert desk.house.reversal(payment).state in {"refund_accepted", "refunded"}
    again = desk.run("void", payment, *WHY)
    assert again.exit_code == 1
    assert "To void is not possible: the payment is voided" in again.stderr


def test_words_that_are_kept_for_good(desk: Desk) -> None:
    """R10, C1: a void without a reason, or with a card number or a control character in it, is refused."""
    payment = charged(desk.house)
    for said, why in (
        (("--reason", " "), "reason: blank."),
        (("--reason", "by the card 4111 1111 1111 1111"), "reason: looks like a card number."),
        (("--reason", "x" * 501), "reason (501 characters): too long."),
        (("--reason", "paid twice", "--by", "\x1b[31mroot"), "by (U+001B): a control character"),
    ):
        refused = desk.run("void", payment, *said)
        assert (refused.exit_code, why in refused.stderr) == (1, True), refused.output
    assert desk.ask("status", payment)["state"] == "posted"


def test_a_refund_is_approved(desk: Desk) -> None:
    """R12: with --refund ask a person's yes sends the refund; without a question there is nothing to approve."""
    payment = charged(desk.house)
    assert desk.run("refund", "approve", payment).exit_code == 1
    desk.house.sandbox.client.settle()
    desk.run("void", payment, "--refund", "ask", *WHY)
    desk.house.work()
    assert desk.ask("status")["refunds_awaiting_approval"][0]["payment_id"] == payment
    desk.ask("refund", "approve", payment)
    desk.house.work()
    assert desk.house.reversal(payment).state in {"refund_accepted", "refunded"}
    assert f"No refund of payment {payment} waits for an answer" in desk.run("refund", "approve", payment).stderr


def test_a_refund_is_not_made(desk: Desk) -> None:
    """R12: a no keeps the amount as a credit; with --apply-again it pays at once what the payment had paid."""
    payment = charged(desk.house)
    desk.house.sandbox.client.settle()
    desk.run("void", payment, "--refund", "ask", *WHY)
    desk.house.work()
    desk.ask("refund", "keep", payment, "--apply-again", *WHY)
    assert desk.house.invoices() == {"A": ("paid", 0)}
    assert desk.ask("audit")["passed"]


def test_cancel(desk: Desk) -> None:
    """R13, C2: a payment that was not charged is cancelled, and its card's number is not kept; a posted one is not."""
    desk.house.bill("C-1", {"A": 6000, "B": 100})
    payment = desk.house.pay(6000, card(), invoices=["A"])
    assert desk.ask("cancel", payment, *WHY)["cancelled"]
    assert desk.house.state(payment) == "cancelled"
    [vaulted] = desk.house.rows("SELECT wrapped_key FROM card_vault")
    assert vaulted.wrapped_key is None
    posted = desk.house.pay(100, invoices=["B"])
    desk.house.work()
    refused = desk.run("cancel", posted, *WHY)
    assert (refused.exit_code, "Void it instead." in refused.stderr) == (1, True)


def test_resolve(desk: Desk) -> None:
    """E4: a person closes an outcome that could not be found out; approved posts the payment."""
    desk.house.bill("C-1", {"A": 6000})
    desk.house.sandbox.client.scenario(after=[reset()], operation="sale")
    payment = desk.house.pay(6000, card())
    desk.house.charge()
    done = desk.ask("resolve", payment, "approved", *WHY)
    assert done["state"] == "posted"
    again = desk.run("resolve", payment, "approved", *WHY)
    assert again.exit_code == 1
    assert "no charge with an unknown outcome" in again.stderr
    assert "a person said" in desk.run("explain", payment).stdout


def owed_less(house: House) -> int:
    """A card payment of which, when it is to be charged, only part is owed still."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card(), allow_overlap=True)
    house.pay(4000)
    house.post()
    house.charge()
    assert house.state(payment) == "review"
    return payment


def test_decide_to_charge_what_is_owed(desk: Desk) -> None:
    """R8: of a payment in review what is owed still can be charged."""
    payment = owed_less(desk.house)
    assert desk.ask("decide", payment, "charge_reduced", *WHY)["state"] == "retrying"
    desk.house.charge()
    assert (desk.house.state(payment), desk.house.payment(payment).charged_minor) == ("posted", 2000)
    assert desk.ask("audit")["passed"]


def test_decide_to_charge_all(desk: Desk) -> None:
    """R8, R3: all of it can be charged; what is not owed becomes a credit."""
    payment = owed_less(desk.house)
    desk.ask("decide", payment, "charge_all", *WHY)
    desk.house.charge()
    assert desk.house.payment(payment).charged_minor == 6000
    assert desk.house.credit() == 4000


def test_decide_not_to_charge(desk: Desk) -> None:
    """R8: or it is cancelled; then nothing more is to be decided."""
    payment = owed_less(desk.house)
    assert desk.ask("decide", payment, "cancel", *WHY)["state"] == "cancelled"
    again = desk.run("decide", payment, "charge_all", *WHY)
    assert again.exit_code == 1
    assert "nothing is to be decided" in again.stderr


def test_a_held_charge_is_not_decided_on(desk: Desk) -> None:
    """R18: while a charge is held at the gateway no other one may be made: it is resolved, not decided on."""
    desk.house.bill("C-1", {"A": 6000})
    desk.house.sandbox.client.scenario(before=[answer("126", "Under review")], operation="sale")
    payment = desk.house.pay(6000, card())
    desk.house.charge()
    assert desk.house.state(payment) == "review"
    refused = desk.run("decide", payment, "charge_all", *WHY)
    assert refused.exit_code == 1
    assert "held at its gateway" in refused.stderr


def test_credits_are_applied_and_taken_back(desk: Desk) -> None:
    """R14: a credit pays the invoices named, in the order given; one application can be undone, once."""
    desk.house.bill("C-1", {"A": 1000})
    payment = desk.house.pay(5000)
    desk.house.work()
    desk.house.bill("C-1", {"B": 2000, "C": 3000})
    done = desk.ask("credit", "apply", "C-1", "--invoice", "C", "--invoice", "B")
    assert done["total_minor"] == 4000
    assert desk.house.invoices() == {"A": ("paid", 0), "B": ("pending", 1000), "C": ("paid", 0)}
    story = desk.ask("explain", payment)
    application = next(one["allocation_id"] for one in story["applications"] if one["invoice"] == "C")
    desk.ask("credit", "undo", application, *WHY)
    assert desk.run("credit", "undo", application, *WHY).exit_code == 1
    assert (desk.house.invoices()["C"], desk.house.credit()) == (("pending", 3000), 3000)
    missing = desk.run("credit", "apply", "C-1", "--invoice", "Z")
    assert (missing.exit_code, "no invoice Z" in missing.stderr) == (1, True)
    assert desk.run("credit", "apply", "nobody").exit_code == 1


def test_retry_by_hand(desk: Desk) -> None:
    """R16: a retry is brought forward as far as the networks allow; one payment, or all that wait."""
    desk.house.bill("C-1", {"A": 6000})
    payment = desk.house.pay(6000, card(NO_FUNDS))
    desk.house.charge()
    assert desk.house.state(payment) == "retrying"
    assert desk.ask("retry") == {"due": 0, "not_yet": 0}
    moved = desk.ask("retry", payment, "--now")
    assert moved["due"] + moved["not_yet"] == 1
    assert desk.run("retry", payment).exit_code == 1
    none = desk.run("retry", 7, "--now")
    assert (none.exit_code, "waits for no further attempt" in none.stderr) == (1, True)


def settled(house: House, amount: int = 6000) -> int:
    """A posted card payment that a void at the gateway can't undo any more."""
    payment = charged(house, amount)
    house.sandbox.client.settle()
    return payment


def test_a_person_says_what_became_of_a_refund(desk: Desk) -> None:
    """E4, R17: one whose outcome cannot be found out is ended by a person's word, with who and why."""
    payment = settled(desk.house)
    assert "no refund with an unknown outcome" in desk.run("refund", "resolve", payment, "made", *WHY).stderr
    desk.house.sandbox.client.scenario(before=[close()], operation="refund")
    desk.ask("refund", payment, "--amount", "12.50", *WHY)
    desk.house.work()
    desk.house.advance(hours=1)
    answer = desk.ask("refund", "resolve", payment, "not_made", "--amount", "12.50", *WHY)
    assert answer == {"payment_id": payment, "refund": "not_made"}
    assert desk.house.reversal(payment).state == "failed"
    assert "sue asked the gateway: the customer called" in desk.run("explain", payment).stdout
    assert desk.ask("status", payment)["refunded_minor"] == 0


def test_a_refund_of_a_part(desk: Desk) -> None:
    """R17: a part, then the rest; what is left is said; `explain` tells it with who and why."""
    payment = settled(desk.house)
    asked = desk.ask("refund", payment, "--amount", "12.50", *WHY)
    reversal = desk.house.reversal(payment).id
    assert asked == {
        "payment_id": payment,
        "reversal_id": reversal,
        "amount_minor": 1250,
        "refundable_minor": 4750,
        "currency": "USD",
    }
    desk.house.work()
    assert desk.ask("status", payment)["refunded_minor"] == 1250
    assert desk.house.invoices() == {"A": ("pending", 1250)}
    told = desk.run("explain", payment).stdout
    assert "sue wanted 12.50 USD refunded (the customer called): the gateway accepted the refund" in told
    assert "47.50 USD applied to invoices, 12.50 USD refunded." in told
    rest = desk.run("refund", "--reason", "all of it", payment)
    assert (rest.exit_code, "A refund of 47.50 USD" in rest.stdout) == (0, True)
    assert "Still refundable: 0.00 USD." in rest.stdout
    desk.house.work()
    assert desk.house.sandbox.client.card("4111111111111111").net == 0
    assert desk.ask("audit")["passed"]


def test_a_refund_that_cannot_be(desk: Desk) -> None:
    """R17: too much, no amount, no reason, no payment: refused with what is possible, and nothing is sent."""
    payment = settled(desk.house)
    for words, code, why in (
        ((payment, "--amount", "60.01", *WHY), 1, "60.00 USD that can be refunded"),
        ((payment, "--amount", "lots", *WHY), 1, "amount"),
        ((payment, "--amount", "0", *WHY), 1, "amount"),
        ((payment,), 2, "Missing option '--reason'"),
        (("aprove", payment), 2, "'aprove' is not a number such as 1042."),
        ((987_654, *WHY), 1, "There is no payment 987654."),
    ):
        refused = desk.run("refund", *words)
        assert (refused.exit_code, why in refused.stderr) == (code, True), refused.output
    refused = desk.run("refund", payment, "--amount", "60.01", *WHY, "--json")
    assert (refused.exit_code, '"field": "amount"' in refused.stderr) == (1, True)
    desk.house.work()
    assert desk.house.sandbox.client.requests(operation="refund") == []


def test_help_for_refunds(desk: Desk) -> None:
    """The group's help names all three uses; the payment stands for the verb that is left out."""
    said = desk.run("refund", "--help").stdout
    for words in ("PAYMENT|approve|keep", "Refund a posted card payment", "approve ", "keep "):
        assert words in said
    assert "Usage: defray refund PAYMENT [OPTIONS]" in desk.run("refund", "1042", "--help").stdout
    assert "Usage: defray refund approve [OPTIONS] PAYMENT" in desk.run("refund", "approve", "--help").stdout


def test_a_void_after_a_refund_of_a_part(desk: Desk) -> None:
    """R11: no void is sent any more: with --refund ask it says which refund waits for an answer."""
    payment = settled(desk.house)
    desk.run("refund", payment, "--amount", "10", *WHY)
    assert desk.run("void", payment, *WHY).exit_code == 1
    desk.house.work()
    said = desk.run("void", payment, "--refund", "ask", *WHY)
    assert f"Only a refund can return its charge: `defray refund approve|keep {payment}`." in said.stdout
    desk.ask("refund", "approve", payment)
    desk.house.work()
    assert desk.house.sandbox.client.card("4111111111111111").net == 0


def test_a_dispute(desk: Desk) -> None:
    """R17: opened, it holds what it is over; lost, invoices are owed again; the story tells both."""
    payment = settled(desk.house)
    opened = desk.ask("dispute", "open", payment, "--case", "CB-1", "--amount", "20", *WHY)
    assert opened == {"payment_id": payment, "case": "CB-1", "state": "open", "new": True}
    assert "was known already" in desk.run("dispute", "open", payment, "--case", "CB-1", *WHY).stdout
    status = desk.run("status").stdout
    assert f"payment {payment}: case CB-1: the customer called" in status
    assert desk.run("refund", payment, "--amount", "40.01", *WHY).exit_code == 1
    assert desk.run("void", payment, *WHY).exit_code == 1
    assert "has no dispute" in desk.run("dispute", "won", payment, "--case", "CB-9", *WHY).stderr
    ended = desk.ask("dispute", "lost", payment, "--case", "CB-1", *WHY)
    assert (ended["state"], ended["taken_minor"], ended["lost_minor"]) == ("lost", 2000, 0)
    assert desk.house.invoices() == {"A": ("pending", 2000)}
    again = desk.run("dispute", "won", payment, "--case", "CB-1", *WHY)
    assert (again.exit_code, "It has ended." in again.stderr) == (1, True)
    desk.run("dispute", "open", payment, "--case", "CB-2", *WHY)
    said = desk.run("dispute", "won", payment, "--case", "CB-2", *WHY).stdout
    assert said == f"Case CB-2 of payment {payment} is won: the amount can be refunded or voided again.\n"
    told = desk.run("explain", payment).stdout
    assert "the card's bank disputes 20.00 USD, case CB-1 (the customer called; recorded by sue)" in told
    assert ", by sue: the customer called." in told
    assert "20.00 USD taken back by the card's bank." in told
    assert desk.ask("audit")["passed"]


def test_a_dispute_over_what_was_refunded(desk: Desk) -> None:
    """R17: what had gone back before is a loss, and said so."""
    payment = settled(desk.house)
    desk.run("refund", payment, "--amount", "50", *WHY)
    desk.house.work()
    desk.run("dispute", "open", payment, "--case", "CB-1", *WHY)
    said = desk.run("dispute", "lost", payment, "--case", "CB-1", *WHY).stdout
    assert "50.00 USD had been given back before, and is a loss." in said
