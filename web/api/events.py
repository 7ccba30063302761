"""What happened, by pull: the feed of public events, none skipped and none twice (docs/events.md)."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends

from books import archive, feed, lists
from rules.events import BY_NAME
from web.api.access import Reader
from web.api.requests import Asked, asking, one_of
from web.office import At

_EVENT: Final = ("id", "type", "created_at", "data")

router = APIRouter(prefix="/v1/events", tags=["events"])


@router.get("")
def listed(
    at: At, key: Reader, asked: Annotated[Asked, Depends(asking("customer", "type", of=_EVENT))]
) -> dict[str, Any]:
    """Events after a cursor: `after` and `next` go on from here, now (`more`) or later; a page may be empty.

    A cursor behind which events were archived is refused (410); 0 begins at the oldest that is kept.
    """
    kind = one_of(asked, "type", tuple(BY_NAME))
    number = asked.filters.get("customer")
    with at.engine.begin() as conn:
        feed.settle(conn)
    with at.reading() as (conn, _):
        archive.check_cursor(conn, asked.page.after)
        customer_id = key.customer_id
        if number is not None:
            customer_id = lists.customer(conn, number if key.customer in (None, number) else "").id
        page = feed.read(conn, asked.page.after, asked.page.limit, (kind,) if kind else (), customer_id)
    following = urlencode({**asked.filters, "after": page.after, "limit": asked.page.limit})
    return {
        "data": [asked.pick(one.told()) for one in page.events],
        "after": page.after,
        "more": page.more,
        "next": f"{asked.path}?{following}",
    }
