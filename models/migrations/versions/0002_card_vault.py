"""The vault's table."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0002"
down_revision = "0001"

_CARD_VAULT: Final = r"""
CREATE TABLE card_vault (
    token TEXT COLLATE "C" NOT NULL,
    wrapped_key BYTEA,
    key_id TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    brand TEXT COLLATE "C" NOT NULL,
    last_four TEXT COLLATE "C" NOT NULL,
    exp_month SMALLINT NOT NULL,
    exp_year SMALLINT NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    security_code BYTEA,
    security_code_hour TEXT COLLATE "C",
    customer_id BIGINT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    dropped_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_card_vault PRIMARY KEY (token),
    CONSTRAINT ck_card_vault_token_is_no_number CHECK (token LIKE 'card\_%'),
    CONSTRAINT ck_card_vault_four_digits_shown CHECK (length(last_four) = 4),
    CONSTRAINT ck_card_vault_expiry_is_a_month CHECK (
        exp_month BETWEEN 1 AND 12 AND exp_year BETWEEN 2000 AND 2199
    ),
    CONSTRAINT ck_card_vault_code_with_hour CHECK ((security_code IS NULL) = (security_code_hour IS NULL)),
    CONSTRAINT ck_card_vault_dropped_with_its_time CHECK ((wrapped_key IS NULL) = (dropped_at IS NOT NULL))
);
"""


def upgrade() -> None:
    """Create it."""
    op.execute(_CARD_VAULT)
