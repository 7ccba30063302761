"""Which request asked for a payment or batch, as W3C Trace Context names it: kept where traces are sent."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0015"
down_revision = "0014"

_TRACEPARENTS: Final = """
ALTER TABLE batches ADD COLUMN traceparent TEXT COLLATE "C";
ALTER TABLE payments ADD COLUMN traceparent TEXT COLLATE "C";
"""


def upgrade() -> None:
    """Add the columns, which are null where nobody followed the request."""
    op.execute(_TRACEPARENTS)
