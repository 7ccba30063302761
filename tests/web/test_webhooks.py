"""Issue 6: how apps are told, in the console: for supervisors, who may deliver again and enable."""

from __future__ import annotations

from sqlalchemy import Engine

from books import clock, feed, webhooks
from tests.web.conftest import Books, Visitor


def test_page(clerk: Visitor, sue: Visitor, books: Books, engine: Engine) -> None:
    """A clerk sees nothing of it; a supervisor sees each delivery, delivers one again, and enables an endpoint."""
    with engine.begin() as conn:
        feed.settle(conn)
    with engine.begin() as conn:
        kept = webhooks.Sealed("none", b"sealed")
        types, now = ("invoice.created",), clock.now(conn)
        endpoint = webhooks.add(conn, "https://127.0.0.1/<b>", types, None, "", kept, now, "x")
    books.bill(owed={"A-1": 100})
    books.do("UPDATE event_horizon SET safe_id = (SELECT last_value FROM events_id_seq)")
    with engine.begin() as conn:
        webhooks.fan_out(conn, clock.now(conn))
    books.do("UPDATE webhook_deliveries SET state = 'delivered', next_step = NULL, due_at = NULL, ended_at = now()")
    path = "/console/webhooks"
    assert clerk.get(path).status_code == 403
    event_id = str(books.one("SELECT event_id FROM webhook_deliveries"))
    assert clerk.post(f"{path}/{endpoint}/replay", event_id=event_id).status_code == 403
    said = sue.get(path).text
    assert "https://127.0.0.1/&lt;b&gt;" in said
    assert f"Deliver event {event_id} again" in said
    assert sue.post(f"{path}/{endpoint}/replay", event_id=event_id).status_code == 303
    assert books.one("SELECT state FROM webhook_deliveries") == "due"
    for wrong in ("0", "x", "", "9" * 30):
        assert sue.post(f"{path}/{endpoint}/replay", event_id=wrong).status_code == 404
    assert sue.post(f"{path}/{endpoint}/enable").status_code == 409
    books.do("UPDATE webhook_endpoints SET state = 'disabled', why = 'it answered 410 Gone'")
    sue.get(path)
    assert "410 Gone" in (sue.seen.text if sue.seen else "")
    assert sue.post(f"{path}/{endpoint}/enable").status_code == 303
    assert books.one("SELECT state FROM webhook_endpoints") == "enabled"
