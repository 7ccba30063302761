"""Whether the process is alive, and whether it can do its work."""

from __future__ import annotations

import redis
from fastapi import APIRouter
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse

from books import epoch
from models.migrate import pending
from web.office import At, Office

router = APIRouter()


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Alive: whatever else may be down."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(at: At) -> JSONResponse:
    """Ready: database, its tables and broker. 503 where one is not; a broker that is away costs delay only (D3).

    A quarantined database (E7) is ready, since payments are taken; `quarantine` says why no card is charged.
    """
    checks = {"database": _database(at), "broker": _broker(at)}
    ready = set(checks.values()) == {"ok"}
    held = _quarantine(at) if checks["database"] == "ok" else {}
    return JSONResponse({"status": "ok" if ready else "not ready", **checks, **held}, 200 if ready else 503)


def _quarantine(at: Office) -> dict[str, str]:
    with at.engine.connect() as conn:
        found = epoch.current(conn)
    return {"quarantine": f"since {found.since:%Y-%m-%dT%H:%M:%SZ}: {found.why}"} if found else {}


def _database(at: Office) -> str:
    try:
        with at.engine.connect() as conn:
            missing = pending(conn)
    except SQLAlchemyError:
        return "does not answer"
    return f"lacks {', '.join(missing)}" if missing else "ok"


def _broker(at: Office) -> str:
    try:
        at.broker.ping()
    except redis.RedisError:
        return "does not answer"
    return "ok"
