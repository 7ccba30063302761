"""What a worker says of its work: each answer that somebody waits for, the sums of a batch, and what was woken."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from books import claim
from sandbox.client import close
from tasks import charge, retry, sweep, told
from tests.flows.conftest import house, sandbox, sandbox_process, story
from tests.flows.house import House, card

__all__ = ["house", "sandbox", "sandbox_process", "story"]


def lines(caplog: pytest.LogCaptureFixture, logger: str = "tasks.told") -> list[dict[str, Any]]:
    """What was said there, by fields, and no more of it the next time."""
    found = [{**vars(one), "event": one.getMessage()} for one in caplog.records if one.name == logger]
    caplog.clear()
    return found


def test_an_answer_that_somebody_waits_for_is_a_line(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """A sale, its look-up and a void are told with payment, transaction, gateway and outcome."""
    caplog.set_level(logging.INFO)
    house.bill("C-1", {"A-1": 500})
    house.sandbox.client.scenario([close()], operation="sale")
    payment = house.pay(500, card())
    house.charge()
    [sale] = lines(caplog)
    assert (sale["event"], sale["levelname"]) == ("sale at payflow: unknown", "WARNING")
    assert (sale["payment"], sale["gateway"], sale["operation"]) == (payment, "payflow", "sale")
    house.advance(minutes=20)
    house.look_up()
    asked, again, sums = lines(caplog)
    assert [one["event"] for one in (asked, again)] == ["inquiry at payflow: absent", "sale at payflow: approved"]
    assert asked["transaction"] == again["transaction"] == sale["transaction"], "the same is sent again (E4)"
    assert sums["counts"] == {"posted": 1}
    house.void(payment)
    house.reverse()
    [void] = lines(caplog)
    assert (void["event"], void["payment"], void["outcome"]) == ("void at payflow: approved", payment, "approved")
    assert void["transaction"] != sale["transaction"]


def test_of_a_batch_the_sums_are_told(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """3,000 payments a second write no line each; who asks for details has them."""
    house.bill("C-1", {f"A-{n}": 100 for n in range(4)})
    [token] = [sealed.token for sealed in house.producer.keep_cards([card()])]
    about = {"method": "credit_card", "currency": "USD", "customer": "C-1", "amount_minor": 100, "card_token": token}
    asked = [{**about, "idempotency_key": f"b-{n}", "invoices": [f"A-{n}"]} for n in range(4)]
    for first, level, expected in ((0, logging.INFO, 0), (2, logging.DEBUG, 2)):
        rows = asked[first : first + 2]
        batch = house.producer.submit(rows, label="b", caller="shop", idempotency_key=f"b{first}", by="ann").batch_id
        caplog.set_level(level)
        caplog.clear()
        tally = charge.work(house.context, claim.Batch(batch or 0), 100)
        assert len(lines(caplog)) == expected
        told.sums("charged", tally)
        [sums] = lines(caplog)
        assert (sums["event"], sums["counts"]) == ("charged", {"posted": 2})


def test_what_is_woken_is_told(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """D3, R16: the sweeper and the run of retries say what they found; where they found nothing, nothing."""
    caplog.set_level(logging.INFO)
    sweep.work(house.context)
    assert lines(caplog, "tasks.sweep") == []
    house.bill("C-1", {"A-1": 500})
    house.pay(500, card())
    house.advance(minutes=1)
    sweep.work(house.context)
    [woken] = lines(caplog, "tasks.sweep")
    assert woken["counts"] == {"singles": 1}
    retry.work(house.context)
    assert lines(caplog, "tasks.retry") == []
