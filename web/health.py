"""Whether the process is alive, and whether it can do its work."""

from __future__ import annotations

import redis
from fastapi import APIRouter
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse

from models.migrate import pending
from web.office import At, Office

router = APIRouter()


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Alive: whatever else may be down."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(at: At) -> JSONResponse:
    """Ready: database, its tables and broker. 503 where one is not; a broker that is away costs delay only (D3)."""
    checks = {"database": _database(at), "broker": _broker(at)}
    ready = set(checks.values()) == {"ok"}
    return JSONResponse({"status": "ok" if ready else "not ready", **checks}, 200 if ready else 503)


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
