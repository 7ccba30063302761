"""Issue 4: aging as of any date, for supervisors."""

from __future__ import annotations

import csv
import io

from tests.web.conftest import Books, Visitor


def test_who_owes_the_most_for_the_longest(visitor: Visitor, books: Books) -> None:
    """The sums, the chart, and the customers, the most overdue first, as of a day of the past."""
    visitor.log_in("sue")
    books.bill("C-1", {"A-1": 1250}, name="Ann & Co")
    books.bill("C-2", {"B-1": 2000, "B-2": 3000}, name="Bob")
    seen = visitor.get("/console/aging?as_of=2026-02-10")
    assert seen.status_code == 200
    text = seen.text
    for said in ("62.50 USD", "Ann &amp; Co", "50.00 USD", '<rect class="bar"', "/console/aging.csv?as_of=2026-02-10"):
        assert said in text
    assert text.index("Bob") < text.index("Ann &amp; Co")
    assert "Nothing was owed" in visitor.get("/console/aging?as_of=2025-12-31").text


def test_a_day_that_is_none(visitor: Visitor, books: Books) -> None:
    """It says what is wrong, beside the field, and never fails."""
    visitor.log_in("sue")
    for wrong in ("31.1.2026", "0001-01-01", "9999-12-31"):
        seen = visitor.get(f"/console/aging?as_of={wrong}")
        assert seen.status_code == 422
        assert "This day cannot be shown" in seen.text
        assert visitor.get(f"/console/aging.csv?as_of={wrong}").status_code == 422


def test_page_by_page(visitor: Visitor, books: Books) -> None:
    """A page holds fifty customers and leads to the next."""
    visitor.log_in("sue")
    for number in range(51):
        books.bill(f"C-{number}", {"A": 1000 + number})
    first = visitor.get("/console/aging?as_of=2026-02-10").text
    assert "page=2" in first
    assert ">C-50<" in first
    assert ">C-0<" not in first
    second = visitor.get("/console/aging?as_of=2026-02-10&currency=USD&page=2").text
    assert ">C-0<" in second
    assert visitor.get("/console/aging?as_of=2026-02-10&page=0").status_code == 422


def test_as_csv(visitor: Visitor, books: Books) -> None:
    """Every customer with decimal sums; a name that a spreadsheet would reckon with is text."""
    visitor.log_in("sue")
    books.bill("C-1", {"A-1": 1250}, name="=1+1")
    books.bill("@C-2", {"A-1": 1}, name='Ann "A", B')
    answer = visitor.get("/console/aging.csv?as_of=2026-02-10")
    assert answer.headers["content-disposition"] == 'attachment; filename="aging-2026-02-10.csv"'
    first, second = list(csv.DictReader(io.StringIO(answer.text)))
    assert (first["customer"], first["customer_name"], first["due"]) == ("C-1", "'=1+1", "12.50")
    assert (first["overdue"], first["31_to_60_days"], first["current"]) == ("12.50", "12.50", "0.00")
    assert (second["customer"], second["customer_name"]) == ("'@C-2", 'Ann "A", B')


def test_clerks_do_not_see_it(clerk: Visitor) -> None:
    """It is the supervisors' window."""
    assert clerk.get("/console/aging").status_code == 403
    assert clerk.get("/console/aging.csv").status_code == 403
