"""Issue 4: what no page sends but somebody may: odd characters, cards in wrong places, many at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from tests.web.conftest import Books, Visitor

VISA = "4111111111111111"


@pytest.mark.parametrize(
    "path",
    [
        "/console/users/%00",
        "/console/deposits?account=%00",
        "/console/deposits?currency=%00",
        "/console/aging?currency=%00",
        "/console/customers/1/payment?key=%00",
    ],
)
def test_zero_byte_in_an_address(ada: Visitor, books: Books, path: str) -> None:
    """An address with a character that the database takes in no text is refused, and is no error of ours."""
    books.bill()
    assert ada.get(path).status_code == 400


def test_zero_byte_in_a_form(clerk: Visitor, books: Books) -> None:
    """A form with such a character is refused at the door; nothing of it reaches a query."""
    address = f"/console/customers/{books.bill(owed={'A-1': 100})}/payment"
    clerk.get(clerk.get(address).headers["location"])
    for name in ("idempotency_key", "card_token", "x\0"):
        answer = clerk.post(address, method="credit_card", amount="1.00", **{name: "a\0"})
        assert (answer.status_code, "character" in answer.text) == (422, True), name


@pytest.mark.parametrize("body", ["[" * 14_000, '{"customer": "' + "9" * 5_000 + '"}'])
def test_bodies_that_no_page_sends(clerk: Visitor, body: str) -> None:
    """C1: the card endpoint answers what is nested too deep, and 5,000 digits, as any other nonsense."""
    headers = {"Content-Type": "application/json", "X-CSRF-Token": clerk.token()}
    assert clerk.client.post("/v1/cards", content=body, headers=headers).status_code in (400, 422)


def test_last_event_id(clerk: Visitor, books: Books) -> None:
    """A browser that says it saw event "²" sees the news from the beginning."""
    address = f"/console/customers/{books.bill(owed={'A-1': 100})}/payment"
    clerk.get(clerk.get(address).headers["location"])
    clerk.post(address, method="cash", amount="1.00", idempotency_key="form-" + "a" * 20)
    payment = books.one("SELECT id FROM payments")
    clerk.post(f"/console/payments/{payment}/cancel", reason="test")
    headers = {"Accept": "text/event-stream", "Last-Event-ID": b"\xb2"}
    answer = clerk.get(f"/console/payments/{payment}/progress", headers=headers)
    assert (answer.status_code, "Recorded" in answer.text) == (200, True)


@pytest.fixture
def connections() -> Iterator[list[str]]:
    """What is wrong with how connections are taken: a second one beside the first, or one on the event loop."""
    wrong: list[str] = []
    out: set[int] = set()

    def taken(_connection: object, record: object, _proxy: object) -> None:
        out.add(id(record))
        if len(out) > 1:
            wrong.append("two at once")
        if threading.current_thread() is threading.main_thread():
            return  # the test's own question; a browser of another test may have left a loop here
        with suppress(RuntimeError):  # there is none in a thread of its own
            asyncio.get_running_loop()
            wrong.append("on the event loop")

    def given_back(_connection: object, record: object) -> None:
        out.discard(id(record))

    event.listen(Pool, "checkout", taken)
    event.listen(Pool, "checkin", given_back)
    yield wrong
    event.remove(Pool, "checkout", taken)
    event.remove(Pool, "checkin", given_back)


def test_one_connection_a_request(ada: Visitor, books: Books, connections: list[str]) -> None:
    """Nothing holds a connection while it waits for a second: as many requests as connections would wait for ever."""
    customer = f"/console/customers/{books.bill(owed={'A-1': 100})}"
    invoice = books.one("SELECT id FROM invoices")
    ada.get(ada.get(f"{customer}/payment").headers["location"])
    ada.post(f"{customer}/payment", method="cash", amount="2.00", idempotency_key="form-" + "a" * 20)
    payment = f"/console/payments/{books.one('SELECT id FROM payments')}"
    for path in (
        *(customer + more for more in ("", f"/invoices/{invoice}", "/credits", "/cards", "/statement", "/payment")),
        *(payment + more for more in ("", "/story", "/progress", "/cancel", "/void", "/receipt")),
        *("/console/aging?as_of=x", "/console/aging", "/console/deposits", "/console/charts", "/console/waiting"),
        *("/console/users", "/console/me", "/console/retries", "/console/batches", "/console/find?q=A"),
    ):
        ada.get(path)
    ada.get(f"{customer}/credits")
    ada.post(f"{customer}/credits", currency="USD")
    ada.post(f"{customer}/credits", currency="USD", do="apply")
    assert connections == []


def test_no_question_on_the_event_loop(ada: Visitor, books: Books, connections: list[str]) -> None:
    """A page that says why something is refused asks the database in a thread; meanwhile others are answered."""
    customer = f"/console/customers/{books.bill(owed={'A-1': 100})}"
    ada.get(ada.get(f"{customer}/payment").headers["location"])
    ada.post(f"{customer}/payment", method="cash", amount="1.00", idempotency_key="form-" + "a" * 20)
    refused = ada.get(f"/console/payments/{books.one('SELECT id FROM payments')}/void")
    assert refused.status_code == 409
    ours = {"Sec-Fetch-Site": "same-origin"}
    old = ada.client.post(f"{customer}/payment", data={"csrf_token": "old", "amount": "1.00"}, headers=ours)
    assert (old.status_code, "logged in again" in old.text) == (403, True)
    assert connections == []


@pytest.mark.parametrize("typed", [VISA, "4111 1111 1111 1111"])
def test_cards_in_other_fields(ada: Visitor, books: Books, typed: str) -> None:
    """C1: wherever a card's number is typed, it is not shown again, and nobody gets it for a name."""
    ada.get("/console/users")
    answers = [
        ada.post("/console/users", name=typed, role="clerk"),
        ada.post("/console/users", name="bob", role=typed, void_limit=typed, refund_limit=typed),
        ada.post("/console/users/ann", role="none", void_limit=typed, refund_limit=typed),
        ada.get("/console/aging", params={"as_of": typed}),
        ada.get(f"/console/customers/{books.bill()}/statement", params={"from": typed, "to": typed, "currency": typed}),
        ada.get("/console/login", params={"next": typed}),
        ada.get("/console/login", params={"next": f"/console/customers/{typed}"}),
        ada.get("/console/users"),
    ]
    assert [answer.status_code for answer in answers] == [422, 422, 422, 422, 422, 200, 200, 200]
    assert not [answer.url for answer in answers if typed in answer.text]


def test_said_in_good_english(clerk: Visitor) -> None:
    """Who lacks rights reads whose they are: a supervisor's, an admin's."""
    assert "the rights of an admin; you have those of a clerk" in clerk.get("/console/users").text
    assert "the rights of a supervisor; you have those of a clerk" in clerk.get("/console/deposits").text


def test_markup_stays_words(ada: Visitor, books: Books) -> None:
    """Markup in a name, an invoice's number, notes or a reason is shown as it was typed, and is none."""
    bad = "<img src=x onerror=alert(1)>\"'{{ 7 * 7 }}"
    customer = f"/console/customers/{books.bill(bad[:30], {'<b>1': 100, '<b>2': 5000}, name=bad, phone=bad[:20])}"
    ada.get(ada.get(f"{customer}/payment").headers["location"])
    saved = ada.post(
        f"{customer}/payment",
        method="check",
        number="<u>7",
        amount="60.00",
        notes=bad,
        idempotency_key="form-" + "a" * 20,
    )
    assert saved.status_code == 303
    payment = f"/console/payments/{books.one('SELECT id FROM payments')}"
    ada.get(f"{payment}/cancel")
    assert ada.post(f"{payment}/cancel", reason=bad).status_code == 303
    pages = [
        ada.get(address).text
        for address in (
            *(customer + more for more in ("", "/credits", "/cards", "/statement")),
            *(payment + more for more in ("", "/story", "/progress")),
            *("/console/aging", "/console/charts", "/console/find/results?q=img", "/console/waiting"),
        )
    ]
    assert sum("&lt;img src=x" in page for page in pages) >= 8
    assert not [page for page in pages if "<img" in page or "<b>" in page or "<u>" in page]


def test_a_log_in_ends_the_session_before_it(clerk: Visitor, new_visitor: Callable[[], Visitor]) -> None:
    """Who logs in at a browser where somebody is logged in ends that session: its token opens nothing any more."""
    before = clerk.client.cookies["defray_session"]
    assert clerk.log_in("sue").status_code == 303
    thief = new_visitor()
    thief.client.cookies.set("defray_session", before)
    assert thief.get("/console/find").headers["location"].startswith("/console/login")
    assert clerk.get("/console/deposits").status_code == 200


def test_a_session_that_somebody_planted(visitor: Visitor, new_visitor: Callable[[], Visitor]) -> None:
    """A token that was put into a browser before the log-in is not taken over by it, and opens nothing afterwards."""
    planted = "A" * 43
    visitor.client.cookies.set("defray_session", planted, domain="127.0.0.1", path="/")
    answer = visitor.log_in()
    assert (answer.status_code, planted in str(answer.headers)) == (303, False)
    [drawn] = [one for one in answer.headers.get_list("set-cookie") if one.startswith("defray_session=")]
    assert len(drawn.partition(";")[0]) > len("defray_session=") + 40
    attacker = new_visitor()
    attacker.client.cookies.set("defray_session", planted)
    assert attacker.get("/console/find").headers["location"].startswith("/console/login")


def test_line_breaks_make_no_header(clerk: Visitor, books: Books) -> None:
    """Line breaks in what somebody typed end no header of an answer: not its address, not its message's cookie."""
    customer = f"/console/customers/{books.bill('C-1', {'A-1': 100})}"
    clerk.get(clerk.get(f"{customer}/payment").headers["location"])
    broken = "x\r\nSet-Cookie: evil=1\r\n\r\n"
    answers = [
        clerk.post(
            f"{customer}/payment", method="check", number=broken, amount="1.00", idempotency_key="form-" + "a" * 20
        ),
        clerk.get("/console/login", params={"next": f"/console/{broken}"}),
        clerk.get("/console/find", params={"q": broken}),
        clerk.get(f"{customer}/statement.pdf", params={"from": broken}),
        clerk.get("/console/x%0d%0aSet-Cookie:%20evil=1"),
    ]
    for answer in answers:
        assert not [value for value in answer.headers.values() if "\r" in value or "\n" in value], answer.url
        assert not [one for one in answer.headers.get_list("set-cookie") if one.startswith("evil")], answer.url


SAID_BARE = (b"q=\xe9", b"q=%C3%A9&x=\xff\xfe", b"\x80")


@pytest.mark.parametrize("path", ["/console/find", "/v1/customers"])
def test_bare_bytes_in_a_query(clerk: Visitor, path: str) -> None:
    """An address with a byte beyond ASCII that nobody quoted is refused; a quoted one is read."""
    for query in SAID_BARE:
        status, body = exchanged(clerk, "GET", path, query=query)
        assert (status, b"character that no address has" in body) == (400, True), query
    assert clerk.get("/console/find?q=%C3%A9").status_code == 200


@pytest.mark.parametrize("path", ["/console/login", "/v1/payments", "/v1/cards"])
def test_a_length_of_5_000_digits(clerk: Visitor, path: str) -> None:
    """A length that is no number, or one of more digits than Python reads, is refused as too large a body."""
    for length in (b"9" * 5_000, b"0" * 5_000, b"-1", b"1e3", b"", "²".encode("latin-1")):
        status, _ = exchanged(clerk, "POST", path, {b"content-length": length})
        assert status == 413, length


def test_who_leaves_in_the_middle_of_a_body(clerk: Visitor) -> None:
    """A body that breaks off, since its sender left or was too slow, is no error of ours that fills a log."""
    for path, kind in (("/console/login", b"application/x-www-form-urlencoded"), ("/v1/cards", b"application/json")):
        cookies = "; ".join(f"{name}={value}" for name, value in clerk.client.cookies.items())
        sent = {b"content-type": kind, b"x-csrf-token": clerk.token().encode(), b"cookie": cookies.encode()}
        status, _ = exchanged(clerk, "POST", path, sent, [{"type": "http.disconnect"}])
        assert status == 400, path


def exchanged(
    visitor: Visitor,
    method: str,
    path: str,
    headers: dict[bytes, bytes] | None = None,
    told: list[dict[str, Any]] | None = None,
    query: bytes = b"",
) -> tuple[int, bytes]:
    """The answer to a request as a server hands it on, which no client would send; `told`: what comes of its body."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [(b"host", b"127.0.0.1"), *(headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    coming = iter(told or [{"type": "http.request", "body": b"", "more_body": False}])
    answered: list[Any] = []

    async def receive() -> Any:
        return next(coming, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        answered.append(message)

    assert visitor.client.portal
    visitor.client.portal.call(visitor.client.app, scope, receive, send)
    return answered[0]["status"], b"".join(message.get("body", b"") for message in answered)
