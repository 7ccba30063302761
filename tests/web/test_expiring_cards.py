"""The office sees which kept cards expire soon: at the card, and in a list beside what waits."""

from __future__ import annotations

import re
from typing import Any

from tests.web.conftest import Books, Visitor


def words(page: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


def test_expiring_cards(clerk: Visitor, books: Books) -> None:
    """B55: one of this month expires soon, one of last year has expired, one of in two years is neither."""
    customer = books.bill("C-1", name="Ann Example")
    for last_four, years in (("1111", 0), ("2222", -1), ("3333", 2)):
        books.do(
            """INSERT INTO kept_cards (customer_id, token, brand, last_four, exp_month, exp_year, fingerprint, kept_at,
                                       kept_by)
               SELECT :customer, CAST(:last_four AS text), 'visa', :last_four, extract(month FROM day),
                      extract(year FROM day) + :years, :last_four, now(), 'ann'
               FROM (SELECT CAST(now() AT TIME ZONE 'UTC' AS date) AS day) AS business""",
            customer=customer,
            last_four=last_four,
            years=years,
        )
    seen = words(clerk.get(f"/console/customers/{customer}/cards"))
    assert re.search(r"ending in 1111 \d\d/\d\d Expires soon", seen)
    assert re.search(r"ending in 2222 \d\d/\d\d Expired", seen)
    assert not re.search(r"ending in 3333 \d\d/\d\d Expire", seen)
    listed = words(clerk.get("/console/waiting"))
    assert re.search(r"Kept cards that expire soon .*Ann Example C-1 Visa ending in 1111", listed)
    assert "2222" not in listed
    assert "3333" not in listed
    books.do("UPDATE kept_cards SET removed_at = now(), removed_by = 'ann'")
    assert "expire soon" not in words(clerk.get("/console/waiting"))
