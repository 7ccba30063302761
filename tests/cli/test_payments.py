"""`defray pay`, `preview`, `status` and `explain`: one payment from the keyboard to its story."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time

from sandbox.client import reset
from tests.cli.conftest import Desk
from tests.cli.test_command import PROJECT
from tests.flows.house import VISA
from tests.flows.house import card as made

NO_FUNDS, STOLEN = "4000000000009995", "4000000000009979"


def card(number: str = VISA, **more: str) -> str:
    """A card as it comes through a pipe."""
    return json.dumps({"number": number, "expiry": "12/39", "security_code": "123", "name": "Ann Example", **more})


PAY = ("pay", "--customer", "C-1", "--by", "ann")


def test_a_check_is_posted(desk: Desk) -> None:
    """R2, R3: a check pays the oldest invoice, the rest is a credit; the command waits and says so."""
    desk.house.bill("C-1", {"A": 6000})
    with desk.at_work():
        said = desk.run(*PAY, "--method", "check", "--number", "1017", "--amount", "65.00")
    assert said.exit_code == 0, said.output
    assert "is posted: 60.00 USD applied to invoices, 5.00 USD credited." in said.stdout
    assert re.search(r"Idempotency key: pay-[a-z]{20}", said.stderr)


def test_the_same_key_again(desk: Desk) -> None:
    """R15: the same key with the same content gives the first payment again; with other content, an error."""
    desk.house.bill("C-1", {"A": 6000})
    asked = (*PAY, "--method", "cash", "--key", "till-7", "--no-wait")
    first = desk.ask(*asked, "--amount", "60")
    again = desk.ask(*asked, "--amount", "60")
    assert (first["new"], again["new"]) == (True, False)
    assert first["payment"]["payment_id"] == again["payment"]["payment_id"]
    other = desk.run(*asked, "--amount", "59")
    assert other.exit_code == 1
    assert "was used before with other content" in other.stderr


def test_a_card_through_a_pipe(desk: Desk) -> None:
    """C1: a card comes as JSON or as lines on standard input; nothing that is printed shows its number."""
    desk.house.bill("C-1", {"A": 6000, "B": 5000})
    asked = (*PAY, "--method", "credit_card", "--invoice")
    with desk.at_work():
        one = desk.run(*asked, "A", "--amount", "60.00", given=card())
        two = desk.run(*asked, "B", "--amount", "50.00", given=f"{VISA}\n12/39\n123\nAnn Example\n")
    for said in (one, two):
        assert said.exit_code == 0, said.output
        assert VISA not in said.output
    assert desk.house.sandbox.client.card(VISA).charged == 2


def test_a_declined_card(desk: Desk) -> None:
    """R8: a card that is declined for good ends with exit code 1; one that is tried again says when."""
    desk.house.bill("C-1", {"A": 6000, "B": 5000})
    with desk.at_work():
        hard = desk.run(*PAY, "--method", "credit_card", "--amount", "60.00", "--invoice", "A", given=card(STOLEN))
        soft = desk.run(*PAY, "--method", "credit_card", "--amount", "50.00", "--invoice", "B", given=card(NO_FUNDS))
    assert (hard.exit_code, soft.exit_code) == (1, 1)
    assert "was declined" in hard.stdout
    assert re.search(
        r"was declined and is tried again: .*; next on 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d E[DS]T", soft.stdout
    )


def test_an_outcome_that_is_not_known(desk: Desk) -> None:
    """E4: where the answer was lost, the command says that it is not known, with exit code 4."""
    desk.house.bill("C-1", {"A": 6000})
    desk.house.sandbox.client.scenario(after=[reset()], operation="sale")
    with desk.at_work():
        said = desk.run(*PAY, "--method", "credit_card", "--amount", "60.00", given=card())
    assert said.exit_code == 4, said.output
    assert "whether the card was charged is not known yet" in said.stdout


def test_although_an_outcome_is_not_known(desk: Desk) -> None:
    """R8a, B01: the next card waits until it is known, unless somebody says by name that both may be charged."""
    desk.house.bill("C-1", {"A": 6000})
    desk.house.sandbox.client.scenario(after=[reset()], operation="sale")
    desk.house.pay(6000, made())
    desk.house.charge()
    asked = (*PAY, "--method", "credit_card", "--amount", "60.00", "--no-wait")
    refused = desk.run(*asked, "--allow-overlap", given=card())
    assert (refused.exit_code, "is unknown" in refused.stderr) == (1, True)
    assert desk.run(*asked, "--although-unknown", given=card()).exit_code == 0
    assert desk.house.row("SELECT by FROM events WHERE what = 'payment.allowed_although_unknown'").by == "ann"


def test_all_faults_at_once(desk: Desk) -> None:
    """B30: every fault of a request is told at once, each with its field and the remedy; nothing is recorded."""
    said = desk.run(
        *PAY,
        "--method",
        "credit_card",
        "--amount",
        "60",
        given=card(VISA[:-1] + "2", expiry="13/29", security_code="1"),
    )
    assert said.exit_code == 1
    assert {line.split(":")[0].strip() for line in said.stderr.splitlines()} >= {
        "card_number",
        "expiry",
        "security_code",
    }
    said = desk.run(
        "pay", "--customer", "nobody", "--method", "cash", "--number", "1", "--amount", "-3", "--currency", "XXX"
    )
    assert said.exit_code == 1
    assert [field in said.stderr for field in ("number (1)", "currency (XXX)")] == [True, True]
    assert desk.house.rows("SELECT FROM payments") == []


def test_no_card_at_all(desk: Desk) -> None:
    """A pipe without a card, or with something else, is refused, and nothing of it is repeated."""
    assert "No card was given." in desk.run(*PAY, "--method", "credit_card", "--amount", "1").stderr
    broken = desk.run(*PAY, "--method", "credit_card", "--amount", "1", given=f'{{"number": "{VISA}"')
    assert "no JSON object" in broken.stderr
    unknown = desk.run(*PAY, "--method", "credit_card", "--amount", "1", given=card(pan=VISA))
    assert "card: it has fields that nobody reads." in unknown.stderr
    assert VISA not in broken.output + unknown.output


AT_A_TERMINAL = (
    "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from cli.main import main; sys.exit(main())"
)


def test_a_card_at_the_prompt(desk: Desk) -> None:
    """C1: at a terminal the card is asked for; number and security code are not echoed."""
    desk.house.bill("C-1", {"A": 6000})
    ours, theirs = os.openpty()
    environ = {name: text for name, text in os.environ.items() if not name.startswith("DEFRAY_")}
    with subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL, *PAY, "--method", "credit_card", "--amount", "60", "--no-wait"],
        cwd=PROJECT,
        env={**environ, **desk.environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        seen = ""
        for prompt, answer in (
            ("Card number", VISA),
            ("Expiry", "12/39"),
            ("Security code", "987"),
            ("Name on the card", "Ann Example"),
            ("Postal code", "10001"),
        ):
            end = time.monotonic() + 30
            while prompt not in seen:
                assert time.monotonic() < end, seen
                seen += os.read(ours, 4096).decode()
            os.write(ours, answer.encode() + b"\n")
        end = time.monotonic() + 30
        while "waits to be worked on" not in seen:
            assert time.monotonic() < end, seen
            seen += os.read(ours, 4096).decode()
        process.wait(30)
    os.close(ours)
    assert process.returncode == 0
    assert "Ann Example" in seen
    assert VISA not in seen
    assert "987" not in seen


def test_a_preview_is_what_posting_does(desk: Desk) -> None:
    """R9: the preview names balances due, amounts applied and the credit, and records nothing."""
    desk.house.bill("C-1", {"A": 6000, "B": 5000})
    asked = ("preview", "--customer", "C-1", "--method", "check")
    seen = desk.ask(*asked, "--amount", "120", "--invoice", "B", "--invoice", "A", "--cap", "B=20.00")
    assert seen == {
        "currency": "USD",
        "lines": [
            {"invoice": "B", "balance_due_minor": 5000, "applied_minor": 2000},
            {"invoice": "A", "balance_due_minor": 6000, "applied_minor": 6000},
        ],
        "credit_minor": 4000,
    }
    words = desk.run(*asked, "--amount", "10").stdout
    assert "1 more owe something and get nothing." in words
    assert desk.house.rows("SELECT FROM payments") == []
    wrong = desk.run(*asked, "--amount", "10", "--cap", "A=1")
    assert wrong.exit_code == 1
    assert "names no invoice of --invoice" in wrong.stderr


def test_status_of_one_and_of_everything(desk: Desk) -> None:
    """D1: a payment's status and everything at a glance, in words and as JSON in UTC."""
    desk.house.bill("C-1", {"A": 6000})
    payment = desk.house.pay(6000)
    one = desk.ask("status", payment)
    assert (one["state"], one["next_step"]) == ("requested", "post")
    assert one["recorded_at"].endswith("Z")
    everything = desk.ask("status")
    assert everything["payments_by_state"] == {"requested": 1}
    assert [due["step"] for due in everything["due"]] == ["post"]
    words = desk.run("status").stdout
    assert "Payments: requested 1" in words
    assert "60.00 USD" in words
    assert f"Payment {payment} of 60.00 USD by check waits to be worked on." in desk.run("status", payment).stdout
    assert desk.run("status", payment, "--batch", 1).exit_code == 1


def test_the_story_of_a_payment(desk: Desk) -> None:
    """R11, R16: who asked for what, each attempt with what it proved, why it is tried again, void and refund."""
    house = desk.house
    house.bill("C-1", {"A": 6000, "B": 5000})
    paid = desk.ask(*PAY, "--method", "credit_card", "--amount", "65", "--invoice", "A", "--no-wait", given=card())
    soft = house.pay(5000, None, card_token=house.producer.keep_cards([made(NO_FUNDS)])[0].token, invoices=["B"])
    house.work()
    payment = paid["payment"]["payment_id"]
    house.sandbox.client.settle()
    desk.run("void", payment, "--reason", "paid twice", "--by", "sue", "--refund", "ask")
    house.work()
    story = desk.run("explain", payment).stdout
    reference = house.sandbox.client.transaction(operation="sale", state="settled").reference
    for words in (
        "ann (cli, key pay-",
        "for invoice A.",
        f"merchant reference {reference}",
        "It stands as approved: the money was taken",
        "60.00 USD to invoice A; 60.00 USD of it undone",
        "credit",
        "sue wanted 65.00 USD returned to the card (paid twice)",
        "It stands as refused by the gateway: nothing was returned by it",
        f"Say `defray refund approve {payment}` or `defray refund keep {payment}`.",
    ):
        assert words in story, f"{words!r} is missing in:\n{story}"
    declined = desk.run("explain", soft).stdout
    assert "It stands as declined: no money was taken" in declined
    assert "no funds, or a limit" in declined
    assert "The card networks allow no attempt before" in declined
    assert VISA not in story + declined
    told = desk.ask("explain", payment)
    assert [attempt["operation"] for attempt in told["attempts"]] == ["sale", "void"]
    assert told["attempts"][0]["evidence"][0]["kind"] == "reply"


def test_the_audit_is_an_exit_code(desk: Desk) -> None:
    """B2: exit code 0 where the books hold, 1 and the finding where they do not."""
    desk.house.bill("C-1", {"A": 6000})
    assert desk.run("audit").stdout == "The books hold: 20 invariants, nothing found.\n"
    desk.house.do("UPDATE invoices SET balance_minor = 5999")
    found = desk.ask("audit", code=1)
    assert [finding["invariant"] for finding in found["findings"]] == ["invoice_balances", "receivable_agrees"]
    assert "has 59.99 USD where 60.00 USD is expected" in desk.run("audit").stdout
