"""Static files, under an address that has their content's digest: cached for a year, never stale."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from web.pages import STATIC, digest_of

router = APIRouter(include_in_schema=False)


@router.get("/static/{digest}/{name}")
def static_file(digest: str, name: str) -> FileResponse:
    """One file of this release."""
    if digest_of(name) != digest:
        raise HTTPException(404)
    return FileResponse(STATIC / name, headers={"Cache-Control": "public, max-age=31536000, immutable"})
