"""Traces: one id from a request through its task to the gateway, and nothing in them that no log may show."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from starlette.testclient import TestClient

from books import api_keys, claim, clock
from rules.apps import Scope
from rules.errors import SettingsError
from settings import load
from tasks import charge, told
from telemetry import otlp, traces
from tests.faults.conftest import plant
from tests.faults.plant import Plant, visa
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import House, card
from tests.telemetry.collector import Collector, listening
from web.app import served
from worker import each_task

__all__ = ["house", "plant", "sandbox", "sandbox_process"]

PROJECT = Path(__file__).parents[2]
APP_KEY = "dfk_live_test-traces"
COLLECTORS_KEY = "Bearer collectors-key"
NAME, CODE = "Canary Holder", "917"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Listens as long as the test runs."""
    with listening() as collector:
        yield collector
    traces.end()
    traces.leave()


class Shop:
    """An app at a web process that sends traces."""

    def __init__(self, plant: Plant, client: TestClient) -> None:
        self.client = client
        with plant.engine.begin() as conn:
            api_keys.add(conn, "shop", APP_KEY, tuple(Scope), None, clock.now(conn), "ada")

    def pay(self, customer: str, number: str, **headers: str) -> tuple[int, str]:
        """Enter a card and pay by it; the payment, and the trace that the answer names."""
        key = {"Authorization": f"Bearer {APP_KEY}"}
        card = {"number": number, "expiry": "12/39", "security_code": CODE, "name": NAME}
        token = self.client.post("/v1/cards", json=card, headers=key).json()["token"]
        about = {"customer": customer, "method": "credit_card", "currency": "USD", "amount_minor": 500}
        answer = self.client.post(
            "/v1/payments?note=hush-query",
            json={**about, "card_token": token},
            headers={**key, "Idempotency-Key": f"pay-{customer}", **headers},
        )
        assert answer.status_code == 201, answer.text
        return answer.json()["id"], answer.headers["X-Request-Id"]


def test_from_a_request_to_the_gateway(plant: Plant, collector: Collector) -> None:
    """D1, C3: request, task and call are one trace; a lost message's work links to its request; no card in any."""
    plant.environment |= {
        "DEFRAY_TRACES_ENDPOINT": collector.url,
        "DEFRAY_TRACES_HEADERS": f"Authorization={COLLECTORS_KEY}",
        "DEFRAY_LOG_FORMAT": "json",
    }
    lost, found = plant.cards[:] = visa(2)
    plant.bill({"I-1": ("lost", 500), "I-2": ("found", 500)})
    with TestClient(served(load(plant.environment)), base_url="http://127.0.0.1") as client:
        shop = Shop(plant, client)
        lost_payment, lost_trace = shop.pay("lost", lost)
        plant.broker.flushdb()
        worker = plant.worker(concurrency=1)
        payment, trace = shop.pay("found", found, traceparent=f"00-{TRACE}-{SPAN}-01")
        plant.wait_for_payments(requested=1, posted=1)
        plant.advance(minutes=1)
        plant.sweep()
        plant.wait_for_payments(posted=2)
        client.get("/healthz")
    plant.check()
    plant.drain()

    assert trace == TRACE, "the app's own trace goes on"
    [of_lost, request] = collector.named("POST /v1/payments")
    [task] = [one for one in collector.named("defray.charge") if one.trace_id == trace]
    [call] = [one for one in collector.named("sale at payflow") if one.trace_id == trace]
    assert (request.parent_id, task.parent_id, call.parent_id) == (SPAN, request.span_id, task.span_id)
    assert (request.service, task.service, call.service) == ("defray-web", "defray-worker", "defray-worker")
    assert request.said == {
        "http.request.method": "POST",
        "http.route": "/v1/payments",
        "http.response.status_code": 201,
        "defray.payment": payment,
    }
    assert (task.said["defray.payment"], task.said["defray.told"]) == (payment, f"payment {payment}: 1 posted")
    assert call.said["defray.outcome"] == "approved"
    assert (call.said["defray.payment"], call.said["defray.gateway"]) == (payment, "payflow")

    swept = collector.one("defray.sweep")
    [late] = [one for one in collector.named("defray.charge") if one.trace_id == swept.trace_id]
    assert late.parent_id == swept.span_id, "the sweeper's message carries the sweeper's trace"
    assert late.links == {lost_trace} == {of_lost.trace_id}
    assert [
        one.said["defray.payment"] for one in collector.named("sale at payflow") if one.parent_id == late.span_id
    ] == [lost_payment]

    assert collector.named("GET /healthz") == []
    assert collector.key == COLLECTORS_KEY
    sent = b"".join(collector.bodies)
    for secret in (lost, found, NAME, APP_KEY, "hush-query", "sandbox-secret", plant.environment["DEFRAY_REDIS_URL"]):
        assert secret.encode() not in sent
    assert f'"trace_id": "{trace}"' in worker.output, "and log lines name the trace, too"
    assert COLLECTORS_KEY not in worker.output


def test_of_a_batch_the_windows_are_spans(house: House, collector: Collector) -> None:
    """A batch costs spans by window, not by payment; one call of a hundred is told as an example."""
    house.bill("C-1", {f"A-{n}": 100 for n in range(8)})
    [token] = [sealed.token for sealed in house.producer.keep_cards([card()])]
    about = {"method": "credit_card", "currency": "USD", "customer": "C-1", "amount_minor": 100, "card_token": token}
    asked = [{**about, "idempotency_key": f"b-{n}", "invoices": [f"A-{n}"]} for n in range(8)]
    traces.begin("web", collector.url, {})
    submitted = traces.enter("POST", "server")
    batch = house.producer.submit(asked, label="b", caller="shop", idempotency_key="b", by="ann").batch_id
    submitted.end()
    task = traces.enter("defray.charge", "consumer")
    charge.work(house.context, claim.Batch(batch or 0), 100)
    task.end()
    traces.end()
    assert collector.one("POST").said == {"defray.batch": batch, "defray.recorded": 8}
    assert collector.one("defray.charge").links == {submitted.trace_id}
    begun, recorded = collector.named("begin"), collector.named("record")
    assert sum(one.said["defray.begun"] for one in begun) == 8
    assert sum(one.said["defray.outcomes"] for one in recorded) == 8
    assert len(begun) + len(recorded) < 8
    with house.engine.connect() as conn:
        sales = conn.exec_driver_sql("SELECT id FROM gateway_transactions").scalars().all()
    examples = [one.said["defray.transaction"] for one in collector.named("sale at payflow")]
    assert sorted(examples) == [sale for sale in sales if sale % told.ONE_OF_BATCH == 0]


class Task:
    """What a signal of Celery's hands over of a task."""

    name = "defray.sweep"

    def __init__(self, **headers: str) -> None:
        self.request = headers


def test_a_task_that_nobody_asked_for_and_that_did_nothing_is_no_trace(collector: Collector) -> None:
    """The sweeper looks every five seconds: only where it led to something there is a span of it."""
    traces.begin("worker", collector.url, {})
    each_task.begin("id-1", Task(), {})
    each_task.end("nothing is overdue", "SUCCESS")
    each_task.begin("id-2", Task(), {})
    assert traces.traceparent()  # a message took it along
    each_task.end("woke batch 7", "SUCCESS")
    each_task.begin("id-3", Task(), {})
    each_task.end(ValueError("ACCT=4111111111111111"), "FAILURE")
    traces.end()
    assert traces.current() is None
    woke, failed = collector.named("defray.sweep")
    assert (woke.said["defray.task_id"], woke.said["defray.told"]) == ("id-2", "woke batch 7")
    assert (failed.said["defray.task_id"], failed.failed) == ("id-3", "ValueError")


def test_a_part_that_breaks_says_its_kind_alone(collector: Collector) -> None:
    """C3: of an error a span has the kind; its words may hold anything. Texts in spans are redacted."""
    traces.begin("worker", collector.url, {})
    task = traces.enter("defray.charge", "consumer")
    with pytest.raises(ValueError, match="ACCT"), traces.part("begin", about="PAN 4111111111111111"):
        raise ValueError("ACCT=4111111111111111")
    assert traces.current() is task
    traces.end()
    assert collector.one("begin").failed == "ValueError"
    assert collector.one("begin").said == {"defray.about": "PAN ************1111"}


def test_a_collector_that_is_away_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """While the collector is away nothing fails, and one line says so, however many spans are lost."""
    caplog.set_level(logging.INFO)
    with listening() as away:
        pass
    traces.begin("worker", away.url, {})
    [export] = traces._exports
    traces.enter("one", "server").end()
    export._provider.force_flush()
    traces.enter("two", "server").end()
    traces.end()
    traces.leave()
    assert [(one.name, one.levelname) for one in caplog.records if "urllib3" not in one.name] == [
        ("telemetry.otlp", "WARNING")
    ]


class Moody(SpanExporter):
    """A collector that takes spans at times."""

    def __init__(self, *moods: SpanExportResult | OSError) -> None:
        self._moods = iter(moods)

    def export(self, spans: object) -> SpanExportResult:
        """As it likes."""
        mood = next(self._moods)
        if isinstance(mood, OSError):
            raise mood
        return mood


def test_a_collector_that_is_back_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line when spans begin to be lost, and one when they are taken again."""
    caplog.set_level(logging.INFO)
    good, bad = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
    moody = otlp._ToldOnce(Moody(good, bad, OSError(), good, good, OSError()))
    for _ in range(6):
        moody.export([])
    assert [one.levelname for one in caplog.records] == ["WARNING", "INFO", "WARNING"]


def test_without_an_address_no_package_is_needed(collector: Collector) -> None:
    """Off, traces load nothing; where they are wanted and the packages are missing, the one who starts is told so."""
    script = """
import sys
sys.modules["opentelemetry"] = None
from telemetry import traces
traces.check(None)
traces.begin("web", None, {})
span = traces.enter("GET", "server")
with traces.part("begin") as part:
    assert part is None
span.end()
assert len(span.trace_id) == 32 and traces.traceparent() and traces.kept() is None
traces.check("http://127.0.0.1:4318/v1/traces")
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True)
    assert "pip install 'defray[traces]'" in ended.stderr
    assert SettingsError.__name__ in ended.stderr


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        None,
        7,
    ],
)
def test_what_is_no_traceparent_is_passed_over(text: object) -> None:
    """What a caller sends as a traceparent is taken only where it is one."""
    assert traces.parse(text) is None


def test_a_traceparent_is_taken_over() -> None:
    """A trace goes on under its id, below the part that asked."""
    came_from = traces.parse(f"00-{TRACE}-{SPAN}-01")
    assert came_from == traces.Parent(TRACE, SPAN, sampled=True)
    span = traces.enter("GET", "server", came_from)
    traces.leave()
    assert span.trace_id == TRACE
    assert span.span_id != SPAN
    assert span.traceparent == f"00-{TRACE}-{span.span_id}-00", "nobody sends it, so nobody need send what follows"
