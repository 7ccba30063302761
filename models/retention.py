"""What was moved out of the tables (archives), and whose personal data was taken out of them (erasures)."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE

from models import metadata
from models.columns import identity, moment, words

archives = Table(
    "archives",
    metadata,
    identity(),
    words("name"),
    words("folder"),  # where it was written to
    moment("older_than", nullable=False),
    words("state"),
    words("manifest_sha256", nullable=True),
    moment("began_at", nullable=False),
    words("began_by"),
    moment("ended_at"),
    UniqueConstraint("name"),
    CheckConstraint("state IN ('writing', 'given_up', 'deleting', 'done')", name="state_known"),
    CheckConstraint("(state IN ('deleting', 'done')) = (manifest_sha256 IS NOT NULL)", name="deleted_with_manifest"),
    CheckConstraint("(state IN ('given_up', 'done')) = (ended_at IS NOT NULL)", name="ended_with_its_time"),
)
"""A folder of files. Until its manifest is durable it is `writing`, and nothing is deleted for it."""

archive_files = Table(
    "archive_files",
    metadata,
    identity(),
    Column("archive_id", BigInteger, ForeignKey("archives.id"), nullable=False),
    words("name"),
    words("of_table"),
    Column("rows_count", BigInteger, nullable=False),
    words("sha256"),
    Column("first_id", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    Column("ids", INT8MULTIRANGE, nullable=False),  # exactly those that are in it
    Column("payments", INT8MULTIRANGE, nullable=False),  # whose history it has
    UniqueConstraint("archive_id", "name"),
    CheckConstraint("of_table IN ('events', 'evidence', 'webhook_deliveries')", name="table_known"),
    CheckConstraint("ids <@ int8range(first_id, last_id, '[]')", name="ids_within"),
)
"""A file that is durable: entered with the manifest, before the first of its rows is deleted."""

Index("ix_archive_files_last", archive_files.c.of_table, archive_files.c.last_id)
Index("ix_archive_files_payments", archive_files.c.payments, postgresql_using="gist")

erasures = Table(
    "erasures",
    metadata,
    Column("customer_id", BigInteger, ForeignKey("customers.id"), primary_key=True, autoincrement=False),
    words("reason"),
    moment("erased_at", nullable=False),
    words("erased_by"),
    moment("ended_at"),  # null inside the transaction that erases, which nobody else sees
)
"""Whose personal data was taken out, when, why and by whom."""
