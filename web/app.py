"""The web process put together: one app from the settings, for uvicorn and for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.responses import RedirectResponse

from settings import Settings
from telemetry import traces
from web import api, cards, console, errors, headers, health, limits, metrics, notices, static_files, traced
from web.api import reference
from web.office import opened
from web.pages import Pages


def create(settings: Settings) -> FastAPI:
    """The app. Its connections are opened when it starts, and closed when it ends."""

    traffic = metrics.Traffic()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with opened(settings) as office:
            app.state.office = office
            traffic.registry.register(figures := metrics.Figures(office))
            traces.begin("web", settings.traces_endpoint, dict(settings.traces_headers))
            yield
            traces.end()
            traffic.registry.unregister(figures)

    # A redirect to the address without its last slash would lead to whatever host the request names.
    app = FastAPI(
        title="Defray",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # its spans tell addresses and queries
    )
    app.state.traffic = traffic
    app.state.pages = Pages(settings.business_time_zone)
    errors.install(app)
    for router in (
        health.router,
        metrics.router,
        reference.router,
        static_files.router,
        cards.router,
        notices.router,
        *api.ROUTERS,
        *console.ROUTERS,
    ):
        app.include_router(router)
    app.add_api_route("/", _start, include_in_schema=False)
    app.add_middleware(headers.BodyLimit)
    app.add_middleware(headers.OddAddress)
    app.add_middleware(metrics.Measured, traffic=traffic)
    return app


def served(settings: Settings) -> headers.Headers:
    """The app as it is served: around it what every answer carries, the answer to an unforeseen error, too."""
    return headers.Headers(limits.Told(traced.Traced(create(settings))))


def _start() -> RedirectResponse:
    return RedirectResponse("/console/find", 303)
