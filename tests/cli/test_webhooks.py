"""Issue 6: `defray webhooks` registers endpoints, shows each secret once, and delivers again."""

from __future__ import annotations

from standardwebhooks.webhooks import Webhook

from books import feed, webhooks
from tests.cli.conftest import Desk

URL = "https://93.184.216.34/hooks"


def test_an_endpoint_from_first_to_last_day(desk: Desk) -> None:
    """Made, listed without its secret, rotated, replayed, disabled, enabled, deleted; each act has its name."""
    desk.house.bill("C-0", {"Z-1": 100})
    with desk.house.engine.begin() as conn:
        feed.settle(conn)
    made = desk.ask("webhooks", "create", URL, "--type", "invoice.created", "--contact", "a@example.org", "--by", "ada")
    endpoint = made["id"]
    Webhook(made["secret"])
    rotated = desk.ask("webhooks", "rotate", endpoint, "--by", "ada")["secret"]
    assert rotated != made["secret"]
    kept = str(desk.house.rows("SELECT CAST(w AS text) FROM webhook_endpoints w"))
    listed = desk.run("webhooks", "list").stdout
    assert not any(secret in text for secret in (made["secret"], rotated) for text in (kept, listed))
    assert "invoice.created" in listed
    assert desk.ask("webhooks", "deliveries", endpoint) == []
    event_id = told(desk)
    [delivery] = desk.ask("webhooks", "deliveries", endpoint)
    assert (delivery["event_id"], delivery["state"]) == (event_id, "due")
    desk.ask("webhooks", "replay", endpoint, "--event", event_id, "--by", "ada")
    desk.ask("webhooks", "replay", endpoint, "--since", "2026-01-01T00:00:00+00:00", "--by", "ada")
    assert desk.run("webhooks", "replay", endpoint).exit_code == 2
    assert desk.run("webhooks", "replay", endpoint, "--event", 1).exit_code == 1
    assert desk.run("webhooks", "enable", endpoint).exit_code == 1
    desk.house.do("UPDATE webhook_endpoints SET state = 'disabled'")
    assert desk.run("webhooks", "replay", endpoint, "--event", event_id).exit_code == 1
    desk.ask("webhooks", "enable", endpoint, "--by", "ada")
    desk.ask("webhooks", "delete", endpoint, "--by", "ada")
    assert desk.ask("webhooks", "list") == []
    for verb in ("rotate", "enable", "delete", "deliveries"):
        assert desk.run("webhooks", verb, endpoint).exit_code == 1
    acts = desk.house.rows("SELECT what FROM events WHERE what LIKE 'webhook.%' AND by = 'ada' ORDER BY id")
    assert [row.what.partition(".")[2] for row in acts] == [
        "created",
        "secret_rotated",
        "replayed",
        "replayed",
        "enabled",
        "deleted",
    ]


def told(desk: Desk) -> int:
    """Let something happen of which the endpoint has a delivery; the event's id."""
    desk.house.bill("C-1", {"A-1": 100})
    with desk.house.context.transaction() as (conn, now):
        event_id = int(feed.drawn(conn))
        conn.exec_driver_sql(f"UPDATE event_horizon SET safe_id = {event_id}")
        webhooks.fan_out(conn, now)
    return int(desk.house.row("SELECT max(event_id) AS id FROM webhook_deliveries").id)


def test_refused(desk: Desk) -> None:
    """SSRF: no private address, nor what is no event type or no e-mail address: said in words."""
    said = desk.run("webhooks", "create", "https://127.0.0.1/x", "--type", "x", "--contact", "y")
    assert said.exit_code != 0
    assert all(field in said.output for field in ("url", "types", "contact"))
