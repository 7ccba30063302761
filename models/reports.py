"""Reports that gateways gave of what they settled, and what came of reading them beside our books (B2)."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from models import metadata
from models.columns import identity, minor, moment, words

reports = Table(
    "reports",
    metadata,
    identity(),
    words("gateway"),
    words("digest"),  # SHA-256 of the file, in hex
    words("file_name"),
    moment("from_at"),  # what it tells of; null where it has no line
    moment("to_at"),
    Column("sums", JSONB),  # by group, currency and kind: lines, minor units
    moment("first_read_at", nullable=False),
    moment("read_at", nullable=False),
    words("read_by"),
    UniqueConstraint("gateway", "digest"),
)
"""One file, known by its digest: read again, it is compared again."""

Index("ix_reports_span", reports.c.gateway, reports.c.to_at)

report_lines = Table(
    "report_lines",
    metadata,
    identity(),
    Column("report_id", BigInteger, ForeignKey("reports.id"), nullable=False),
    words("finding"),
    Column("line", Integer),  # null for what is missing there
    words("kind"),
    words("state"),
    minor("amount_minor"),
    words("currency"),
    moment("at"),
    Column("reference", BigInteger),
    words("transaction_id"),
    words("said"),
    Column("gateway_transaction_id", BigInteger, ForeignKey("gateway_transactions.id")),
    Column("payment_id", BigInteger, ForeignKey("payments.id")),
    minor("ours_minor", nullable=True),
    words("ours_state", nullable=True),
    words("why"),
    moment("applied_at"),
    words("applied_by", nullable=True),
    words("became", nullable=True),
    CheckConstraint(
        "finding IN ('proven', 'differs', 'missing_here', 'missing_there', 'chargeback')", name="finding_known"
    ),
    CheckConstraint("(line IS NULL) = (finding = 'missing_there')", name="line_unless_missing"),
    CheckConstraint("num_nonnulls(applied_at, applied_by, became) IN (0, 3)", name="applied_at_once"),
)
"""What a person must look at; what matched, and what is no charge, is not kept line by line."""

Index("ix_report_lines_report", report_lines.c.report_id, report_lines.c.finding, report_lines.c.id)

report_matches = Table(
    "report_matches",
    metadata,
    Column("gateway_transaction_id", BigInteger, ForeignKey("gateway_transactions.id"), nullable=False),
    Column("report_id", BigInteger, ForeignKey("reports.id"), nullable=False),
    PrimaryKeyConstraint("gateway_transaction_id", "report_id"),
)
"""Which of our transactions a report told of."""

Index("ix_report_matches_report", report_matches.c.report_id)
