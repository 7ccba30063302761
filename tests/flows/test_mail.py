"""Receipts by e-mail, from what was asked for to what the mail server said, with a real server over loopback."""

from __future__ import annotations

import socket
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from pypdf import PdfReader

from books import mail as mails
from books import outbox
from mailer.smtp import server_at
from rules.errors import NotFound
from tasks import mail as mail_task
from tasks.context import Post
from tests.flows.house import House, card
from tests.mailer.server import MailServer, serving

ADDRESS, MESSAGE_ID = "ann@example.org", "<form-a@example.com>"


def by(house: House, server: MailServer) -> House:
    """The same house with that mail server."""
    post = Post(server_at(f"smtp://127.0.0.1:{server.port}"), "office@example.com", "Defray & Sons")
    return replace(house, context=replace(house.context, post=post))


def paid(house: House, **more: object) -> int:
    house.bill("C-1", {"A": 6000})
    payment = house.pay(7000, **more)  # type: ignore[arg-type]
    house.work()
    return payment


def ask(house: House, payment: int, message_id: str = MESSAGE_ID) -> int | None:
    with house.context.transaction() as (conn, now):
        return mails.ask(conn, payment, ADDRESS, message_id, now, "ann")


def row(house: House) -> Any:
    return house.row("SELECT * FROM mails")


def told(house: House) -> list[str]:
    return [one.what for one in house.rows("SELECT what FROM events WHERE what LIKE 'receipt.%' ORDER BY id")]


def test_a_receipt_is_sent_once(house: House) -> None:
    """D1, R6: the row says what is due; the paper goes out without the notes, and another wake-up finds nothing."""
    with serving() as server:
        house = by(house, server)
        payment = paid(house, notes="CANARY of the office")
        ask(house, payment)
        assert mail_task.work(house.context) == "1 sent"
        assert mail_task.work(house.context) == "no mail is due"
    [kept] = server.kept
    assert (kept["To"], kept["Message-ID"]) == (ADDRESS, MESSAGE_ID)
    assert kept["Subject"] == f"Receipt {payment} – Defray & Sons"
    [paper] = kept.iter_attachments()
    seen = "".join(page.extract_text() for page in PdfReader(BytesIO(paper.get_content())).pages)
    assert "70.00 USD" in seen
    assert "CANARY" not in seen + kept.as_string()
    assert (row(house).state, row(house).next_step) == ("sent", None)
    assert told(house) == ["receipt.mail_asked", "receipt.mail_sent"]


def test_the_same_mail_asked_for_twice(house: House) -> None:
    """A form that is sent twice makes one mail; another form makes another."""
    payment = paid(house)
    assert ask(house, payment) is not None
    assert ask(house, payment) is None
    assert ask(house, payment, "<form-b@example.com>") is not None
    assert house.row("SELECT count(*) AS n FROM mails").n == 2


def test_what_has_no_receipt_is_not_sent(house: House) -> None:
    """A payment that is not posted yet has nothing to send."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    with pytest.raises(NotFound):
        ask(house, payment)
    house.work()


def test_refused_for_good(house: House) -> None:
    """550: it failed, with what the server said, and is not tried again."""
    with serving() as server:
        house = by(house, server)
        ask(house, paid(house))
        server.to_rcpt = ["550 no such mailbox"]
        assert mail_task.work(house.context) == "1 failed"
    assert (row(house).state, row(house).said) == ("failed", "550 no such mailbox")
    assert told(house)[-1] == "receipt.mail_failed"


def test_refused_for_now_and_then_taken(house: House) -> None:
    """451: it waits for its time, is found by the sweeper, and goes with the same Message-ID."""
    with serving() as server:
        house = by(house, server)
        ask(house, paid(house))
        server.to_rcpt = ["451 come again"]
        assert mail_task.work(house.context) == "1 due"
        assert row(house).said == "451 come again"
        assert mail_task.work(house.context) == "no mail is due"
        house.advance(minutes=6)
        assert "mails (1)" in house.sweep()
        assert mail_task.work(house.context) == "1 sent"
    assert [kept["Message-ID"] for kept in server.kept] == [MESSAGE_ID]


def test_nobody_there_for_a_day(house: House) -> None:
    """Six tries in about a day with growing intervals, then it has failed and waits no more."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        house = by(house, MailServer(taken.getsockname()[1]))
        ask(house, paid(house))
        became = []
        for hours in (0, 0.2, 1, 3, 7, 16):
            house.advance(hours=hours)
            became.append(mail_task.work(house.context))
        assert became == ["1 due"] * 5 + ["1 failed"]
    assert (row(house).tries, row(house).next_step) == (6, None)
    assert row(house).said.startswith("no connection")


def test_a_lost_answer_sends_the_same_mail_again(house: House) -> None:
    """E3: what may have arrived goes again with its Message-ID and Date, so that it is recognised as one."""
    with serving() as server:
        house = by(house, server)
        ask(house, paid(house))
        server.drop = 1
        assert mail_task.work(house.context) == "1 due"
        house.advance(minutes=6)
        assert mail_task.work(house.context) == "1 sent"
    first, second = server.kept
    assert first["Message-ID"] == second["Message-ID"] == MESSAGE_ID
    assert first["Date"] == second["Date"]


def test_a_task_that_died_between_sending_and_recording(house: House) -> None:
    """D2: its lease ends, the sweeper finds the mail, and it is sent again as the same one."""
    with serving() as server:
        house = by(house, server)
        ask(house, paid(house))
        with house.context.transaction() as (conn, now):
            [dead] = mails.claim(conn, None, 1, now)
        assert mail_task.work(house.context) == "no mail is due"
        assert "mails" not in house.sweep()
        house.advance(seconds=outbox.LEASE.total_seconds() + 11)
        assert "mails (1)" in house.sweep()
        assert mail_task.work(house.context) == "1 sent"
        with house.context.transaction() as (conn, now):
            assert mails.finish(conn, dead, "refused", "late", now, "defray") is None
    assert [kept["Message-ID"] for kept in server.kept] == [dead.message_id]
    assert row(house).state == "sent"


def test_tasks_that_always_die_send_no_mail_for_ever(house: House) -> None:
    """After as many tries as may be it is given up, even where none of them was heard of again."""
    ask(house, paid(house))
    for _ in range(outbox.TRIES + 1):
        with house.context.transaction() as (conn, now):
            mails.claim(conn, None, 1, now)
        house.advance(seconds=outbox.LEASE.total_seconds() + 1)
    assert (row(house).state, row(house).tries) == ("failed", outbox.TRIES)


def test_without_a_mail_server(house: House) -> None:
    """What was asked for while there was one waits; nothing breaks, and nobody is woken for it."""
    ask(house, paid(house))
    assert mail_task.work(house.context) == "no mail server is set"
    house.advance(minutes=1)
    assert house.sweep() == "nothing is overdue"
    assert row(house).state == "due"
