"""`/metrics` for Prometheus: what was asked of this process, how payments and queues stand, and what was answered."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Iterator
from typing import Final

import redis
from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import celeryconfig
from books.gauges import COUNTED_TO, Gauges, gauges
from web.counted import Counted
from web.office import At, Office

router = APIRouter()

FRESH: Final = 10.0
"""Seconds for which figures are kept, however often they are asked for."""
LOOPBACK: Final = ("127.0.0.1", "::1")
QUEUES: Final = tuple(celeryconfig.task_queues)


class Traffic:
    """Counts and times of requests, by route: never by address, which may hold anything."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._count = Counter("defray_requests", "Requests that were answered.", labels, registry=self.registry)
        self._seconds = Histogram(
            "defray_request_seconds", "Seconds until an answer began.", labels[:2], registry=self.registry
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._count.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Measured:
    """Measures every request."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status, seconds = 500, None

        async def watched(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status, seconds = message["status"], time.perf_counter() - began
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._traffic.answered(method, route, status, seconds or time.perf_counter() - began)


class Figures(Collector):
    """What the database and the broker say, asked at most once in `FRESH` seconds."""

    def __init__(self, at: Office) -> None:
        self._at = at
        self._lock = threading.Lock()
        self._kept: list[Metric] = []
        self._until = 0.0
        self._counted = Counted()

    def collect(self) -> Iterator[Metric]:
        """The figures; those of a server that does not answer are left out, and `defray_up` says so."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._kept = [*self._books(), *self._counted.look(self._at), *self._queues()]
                self._until = time.monotonic() + FRESH
            yield from self._kept

    def _books(self) -> Iterator[Metric]:
        try:
            with self._at.reading() as (conn, now):
                found = gauges(conn, now)
        except SQLAlchemyError:
            yield GaugeMetricFamily("defray_database_up", "Whether the database answers.", 0)
            return
        yield GaugeMetricFamily("defray_database_up", "Whether the database answers.", 1)
        yield from _of(found)

    def _queues(self) -> Iterator[Metric]:
        lengths = GaugeMetricFamily("defray_queue_messages", "Wake-up calls that no worker took yet.", labels=["queue"])
        try:
            for queue in QUEUES:
                lengths.add_metric([queue], int(self._at.broker.llen(queue)))
        except redis.RedisError:
            yield GaugeMetricFamily("defray_broker_up", "Whether the broker answers.", 0)
            return
        yield GaugeMetricFamily("defray_broker_up", "Whether the broker answers.", 1)
        yield lengths


def _of(found: Gauges) -> Iterator[Metric]:
    to = f"{COUNTED_TO:,}"
    for name, says, counts in (
        ("defray_payments_under_way", f"Payments that did not end, counted to {to} of each kind.", found.under_way),
        ("defray_payments_latest", f"The latest {to} payments by how they stand.", found.latest),
    ):
        family = GaugeMetricFamily(name, says, labels=["state", "method"])
        for labels, payments in sorted(counts.items()):
            family.add_metric(labels, payments)
        yield family
    oldest = GaugeMetricFamily("defray_due_oldest_seconds", "How long the oldest has been due.", labels=["step"])
    waiting = GaugeMetricFamily("defray_due_rows", "What has a next step, now or later.", labels=["step"])
    for due in found.due:
        oldest.add_metric([due.step], due.oldest_seconds)
        waiting.add_metric([due.step], due.waiting)
    yield oldest
    yield waiting
    yield GaugeMetricFamily("defray_outcomes_unknown", "Charges whose outcome is unknown.", found.unknown)
    yield GaugeMetricFamily("defray_refunds_waiting", "Refunds to be sent, or to be allowed.", found.refunds_waiting)


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request, at: At) -> Response:
    """All figures, to whom the settings allow it; not found for everybody else."""
    if not _may_read(request, at):
        raise HTTPException(404)
    return Response(generate_latest(request.app.state.traffic.registry), media_type=CONTENT_TYPE_LATEST)


def _may_read(request: Request, at: Office) -> bool:
    """Who came through a proxy did not ask from this machine, whatever address the proxy has."""
    if at.settings.metrics == "token":
        brought = request.headers.get("authorization", "").partition(" ")[2].strip()
        return hmac.compare_digest(brought.encode(), (at.settings.metrics_token or "").encode())
    forwarded = {"forwarded", "x-forwarded-for"} & set(request.headers)
    asked_from = request.client.host if request.client else ""
    return at.settings.metrics == "loopback" and not forwarded and asked_from in LOOPBACK
