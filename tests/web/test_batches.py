"""Payments that were submitted together, as the office looks at them."""

from __future__ import annotations

import re

from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import House, card
from tests.web.conftest import Visitor
from web.console import batches

__all__ = ["house", "sandbox", "sandbox_process"]

NO_FUNDS = "4000000000009995"


def submit(house: House, checks: int = 1) -> int:
    """A batch of checks and one card without funds."""
    house.bill("C-1", {**{str(number): 1000 for number in range(checks)}, "CARD": 3000})
    [bad] = [sealed.token for sealed in house.producer.keep_cards([card(NO_FUNDS)])]
    asked = {"customer": "C-1", "currency": "USD"}
    rows: list[dict[str, object]] = [
        {**asked, "method": "check", "idempotency_key": str(n), "amount_minor": 1000, "invoices": [str(n)]}
        for n in range(checks)
    ]
    rows.append(
        {
            **asked,
            "method": "credit_card",
            "card_token": bad,
            "idempotency_key": "card",
            "amount_minor": 3000,
            "invoices": ["CARD"],
        }
    )
    receipt = house.producer.submit(rows, label="Monday", caller="shop", idempotency_key="b", by="ann")
    assert receipt.batch_id is not None
    return receipt.batch_id


def read(page: str) -> str:
    """A page's words."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_the_list(house: House, clerk: Visitor) -> None:
    """D4: each batch with its name, who submitted it and how its payments stand."""
    batch = submit(house)
    house.post(batch)
    page = clerk.get("/console/batches").text
    assert f'<a href="/console/batches/{batch}">{batch}</a>' in page
    assert "Monday" in page
    assert "1 requested, 1 posted" in read(page)
    assert "None further." in clerk.get(f"/console/batches?before={batch}").text


def test_what_did_not_go_well_comes_first(house: House, clerk: Visitor) -> None:
    """D4: sums by currency, then the payments, with the reason of those that did not go well on top."""
    batch = submit(house)
    page = clerk.get(f"/console/batches/{batch}").text
    assert f'data-batch="/console/batches/{batch}/progress"' in page
    house.post(batch)
    house.charge(batch)
    page = clerk.get(f"/console/batches/{batch}").text
    assert "data-batch" not in page
    assert "USD 2 40.00 USD 10.00 USD 10.00 USD 0.00 USD" in read(page)
    assert page.index('<h2 id="retrying">') < page.index('<h2 id="posted">')
    assert "not enough funds" in page
    assert "Payments posted each second" in page


def test_all_of_one_state(house: House, clerk: Visitor) -> None:
    """Of a large batch a few of each state are shown, and all of one page by page."""
    checks = batches.MANY + 1
    batch = submit(house, checks)
    house.post(batch)
    page = clerk.get(f"/console/batches/{batch}").text
    assert page.count("Check</td>") == batches.FEW
    assert "?state=posted&amp;after=0" in page
    page = clerk.get(f"/console/batches/{batch}?state=posted").text
    assert page.count("Check</td>") == batches.MANY
    following = re.search(r'\?state=posted&amp;after=(\d+)"', page)
    assert following
    page = clerk.get(f"/console/batches/{batch}?state=posted&after={following[1]}").text
    assert page.count("Check</td>") == 1
    assert "Next posted" not in page


def test_what_is_not_there(clerk: Visitor) -> None:
    """A batch or a state that is not there is said to be missing."""
    assert clerk.get("/console/batches/7").status_code == 404
    assert clerk.get("/console/batches/7/progress", headers={"Accept": "text/event-stream"}).status_code == 404
    assert clerk.get("/console/batches/7?state=nonsense").status_code == 404


def test_nobody_else_may_look(visitor: Visitor) -> None:
    """Without a log-in there are no batches."""
    assert visitor.get("/console/batches").status_code == 303
    assert visitor.get("/console/batches/1").status_code == 303
