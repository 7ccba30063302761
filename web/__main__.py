"""`python -m web`: the web process, on loopback unless DEFRAY_WEB_ADDRESS says otherwise."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from rules.errors import SettingsError
from settings import Settings, load
from worker import core_dumps, extras

if lacking := extras.lacking("web", "fastapi"):
    sys.exit(lacking)

import uvicorn

from telemetry import logs, traces
from web.app import served
from web.patience import Impatient


def configured(settings: Settings) -> uvicorn.Config:
    """How the app is served. Raises SettingsError."""
    return uvicorn.Config(
        served(settings),
        host=settings.web_address,
        port=settings.web_port,
        http=Impatient,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=5,  # pages that follow a payment stay open for minutes
    )


def main() -> int:
    """Serve until a signal comes; an exit code."""
    core_dumps.forbid()
    try:
        settings = load(os.environ)
        settings.servers()
        traces.check(settings.traces_endpoint)
        config = configured(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    logs.configure(settings.log_level, settings.log_format)
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):  # raised again once the server has ended
        server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
