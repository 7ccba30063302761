"""Stored cards by the month in which they expire."""

from __future__ import annotations

from models.migrations import online

revision = "0017"
down_revision = "0016"

outside_a_transaction = True


def upgrade() -> None:
    online.create_index("ix_kept_cards_expiry", "kept_cards (exp_year, exp_month, id) WHERE removed_at IS NULL")
