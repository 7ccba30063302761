"""The vault's tables: the cards, which only `vault.store` reads and writes, and the keys (`vault.known`)."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, LargeBinary, SmallInteger, Table, Text

from models import metadata
from models.columns import moment, words

card_vault = Table(
    "card_vault",
    metadata,
    Column("token", Text(collation="C"), primary_key=True),
    Column("wrapped_key", LargeBinary, nullable=True),  # the card's own data key; null: dropped, the card is gone
    words("key_id"),  # which key-encryption key wrapped it
    Column("sealed", LargeBinary, nullable=False),
    words("brand"),
    words("last_four"),
    Column("exp_month", SmallInteger, nullable=False),
    Column("exp_year", SmallInteger, nullable=False),
    words("fingerprint"),  # HMAC-SHA256 of the number, under a key of its own
    Column("security_code", LargeBinary, nullable=True),
    words("security_code_hour", nullable=True),  # YYYYMMDDHH in UTC: which key of the hour sealed it (C2)
    Column("customer_id", BigInteger, nullable=True),
    moment("created_at", nullable=False),
    moment("dropped_at"),
    CheckConstraint("token LIKE 'card\\_%'", name="token_is_no_number"),
    CheckConstraint("length(last_four) = 4", name="four_digits_shown"),
    CheckConstraint("exp_month BETWEEN 1 AND 12 AND exp_year BETWEEN 2000 AND 2199", name="expiry_is_a_month"),
    CheckConstraint("(security_code IS NULL) = (security_code_hour IS NULL)", name="code_with_hour"),
    CheckConstraint("(wrapped_key IS NULL) = (dropped_at IS NOT NULL)", name="dropped_with_its_time"),
)
"""Cards, sealed. What may be shown of a card stands beside it in the clear."""

Index(
    "ix_card_vault_entered",
    card_vault.c.token,
    postgresql_where=card_vault.c.customer_id.isnot(None) & card_vault.c.wrapped_key.isnot(None),
)

vault_keys = Table(
    "vault_keys",
    metadata,
    Column("key_id", Text(collation="C"), primary_key=True),
    Column("proof", LargeBinary),  # shows whether a key of this id is this one; null: not seen since an upgrade
    Column("fingerprint_proof", LargeBinary),  # the same for the key of the fingerprints that was beside it
    moment("current_since", nullable=False),
    moment("retired_at"),  # nothing needs it any more, or a person gave it up
    CheckConstraint("(proof IS NULL) = (fingerprint_proof IS NULL)", name="proofs_together"),
)
"""The keys under which something was sealed here; never a key itself."""
