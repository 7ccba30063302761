"""A payment's whole story in words: sections for a page and lines for a terminal are the same sentences."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

from books import dispute, refund, views
from papers.story import QUOTED_MAX, standing, story_lines, story_sections
from sandbox import client as sandbox
from tests.flows.house import House, card

ZONE = ZoneInfo("America/New_York")


def test_the_way_back_to_the_card(house: House) -> None:
    """R11: the sale, the refused void, the refund and what was undone are told in their order, indented under each."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(7000, card(), invoices=["A"])
    house.work()
    house.sandbox.client.settle()
    house.void(payment, "paid twice")
    house.work()
    with house.engine.connect() as conn:
        story = views.story(conn, payment)
    sections = list(story_sections(story, ZONE))
    headings = [section.heading for section in sections]
    assert "asked for payment" in headings[0]
    assert sections[0].lines == ("for invoice A.", "It goes to payflow.")
    assert [
        f" {operation} of 70.00 USD at payflow" in heading
        for operation, heading in zip(("sale", "void", "refund"), headings[1:4], strict=True)
    ] == [True] * 3
    assert "What its money paid:" in headings
    assert any("wanted 70.00 USD returned to the card (paid twice)" in heading for heading in headings)
    assert headings[-1] == "History:"
    lines = list(story_lines(story, ZONE))
    assert lines[:3] == [headings[0], "  for invoice A.", "  It goes to payflow."]
    assert lines[-2:] == ["", *standing(story.payment, ZONE)]
    assert [line for line in lines if line in headings] == headings


def test_refunds_of_parts_and_disputes(house: House) -> None:
    """R17: each refund with its end and why, each dispute with its case and how it ended, and what is left applied."""
    house.bill("C-1", {"A": 6000})
    payment = house.pay(6000, card())
    house.work()
    house.sandbox.client.settle()
    for reply in (None, sandbox.answer("117")):
        if reply:
            house.sandbox.client.scenario(before=[reply], operation="refund")
        with house.context.transaction() as (conn, now):
            refund.ask(conn, payment, 1000, "goods returned", now, "sue")
        house.work()
    with house.context.transaction() as (conn, now):
        day = house.context.terms.today(now)
        for case in ("CB-1", "CB-2"):
            dispute.open_case(conn, payment, case, 500, "not received", day, now, "sue")
        dispute.lose(conn, payment, "CB-1", "no proof", day, now, "ada")
    with house.engine.connect() as conn:
        story = views.story(conn, payment)
    told = list(story_sections(story, ZONE))
    for said in (
        "sue wanted 10.00 USD refunded (goods returned): the gateway accepted the refund, and is asked until it is",
        "sue wanted 10.00 USD refunded (goods returned): it could not be made; it can be asked for again.",
        "the card's bank disputes 5.00 USD, case CB-1 (not received; recorded by sue): decided for the payer",
        "case CB-2 (not received; recorded by sue): the gateway holds that amount until it is decided.",
    ):
        assert any(said in section.heading for section in told), said
    [lost] = [section for section in told if "CB-1" in section.heading]
    assert lost.lines[0].endswith(", by ada: no proof.")
    assert "45.00 USD applied to invoices, 10.00 USD refunded, 5.00 USD taken back by the card's bank." in "".join(
        standing(story.payment, ZONE)
    )


def test_a_long_answer(house: House) -> None:
    """A terminal gets the beginning of a gateway's long answer, a page all of it."""
    house.bill("C-1", {"A": 1000})
    payment = house.pay(1000, card())
    house.work()
    with house.engine.connect() as conn:
        story = views.story(conn, payment)
    [sale] = story.attempts
    long = replace(sale, evidence=(replace(sale.evidence[0], said={"RESPMSG": "x" * 2 * QUOTED_MAX}),))
    told = replace(story, attempts=(long,))
    assert any("--json has all of it" in line for line in story_lines(told, ZONE))
    whole = [line for section in story_sections(told, ZONE) for line in section.lines]
    assert any("x" * 2 * QUOTED_MAX in line for line in whole)
    assert not any("--json" in line for line in whole)


def test_what_was_asked_for_in_cash(house: House) -> None:
    """R1: a payment that names no invoice pays whatever is owed, and no attempt at a gateway is told of."""
    house.bill("C-1", {"A": 1000})
    payment = house.pay(1000, number="1007")
    with house.engine.connect() as conn:
        story = views.story(conn, payment)
    sections = list(story_sections(story, ZONE))
    assert sections[0].lines == ("for whatever is owed, oldest first.",)
    assert "10.00 USD by check no. 1007 from C-1" in sections[0].heading
    assert [section.heading for section in sections[1:]] == ["History:"]
    assert list(standing(story.payment, ZONE)) == [f"Payment {payment} of 10.00 USD by check waits to be worked on."]
