"""`python -m web`: the web process, on loopback unless DEFRAY_WEB_ADDRESS says otherwise."""

from __future__ import annotations

import os
import sys

import uvicorn

from rules.errors import SettingsError
from settings import load
from web import logs
from web.app import served
from worker import core_dumps


def main() -> int:
    """Serve until a signal comes; an exit code."""
    core_dumps.forbid()
    try:
        settings = load(os.environ)
        settings.servers()
        app = served(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    logs.configure(settings.log_level)
    uvicorn.run(
        app,
        host=settings.web_address,
        port=settings.web_port,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=5,  # pages that follow a payment stay open for minutes
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
