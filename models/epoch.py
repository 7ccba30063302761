"""Which database this is, and whether it is quarantined after a restore (E7)."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Integer, Table, text

from models import metadata
from models.columns import moment, words

epoch = Table(
    "epoch",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    words("life"),  # drawn at the first start and at each release: what witnesses outside know it by
    words("system_identifier"),
    Column("timeline", Integer, nullable=False),
    moment("began_at", nullable=False),
    moment("quarantined_at"),
    words("quarantined_why", nullable=True),
    moment("released_at"),
    words("released_by", nullable=True),
    words("released_why", nullable=True),
    CheckConstraint("only_row", name="one_row"),
    CheckConstraint("(quarantined_at IS NULL) = (quarantined_why IS NULL)", name="quarantined_for_a_reason"),
    CheckConstraint("num_nonnulls(released_at, released_by, released_why) IN (0, 3)", name="released_by_somebody"),
)
"""One row once a worker was here. While it is quarantined, a trigger refuses whatever is to be sent, whoever asks."""
