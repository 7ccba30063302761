"""Which keys of the vault guard this database, so that a lost or wrong key file is noticed before it does harm."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0012"
down_revision = "0011"

_KEYS: Final = """
CREATE TABLE vault_keys (
    key_id TEXT COLLATE "C" NOT NULL,
    proof BYTEA,
    fingerprint_proof BYTEA,
    current_since TIMESTAMP WITH TIME ZONE NOT NULL,
    retired_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_vault_keys PRIMARY KEY (key_id),
    CONSTRAINT ck_vault_keys_proofs_together CHECK ((proof IS NULL) = (fingerprint_proof IS NULL))
);
"""

# Of the keys that sealed something before, the ids are known; their proofs are added when a key file shows them.
_KNOWN: Final = """
INSERT INTO vault_keys (key_id, current_since)
SELECT key_id, now() FROM card_vault WHERE wrapped_key IS NOT NULL
UNION SELECT key_id, now() FROM gateway_cards WHERE key_id IS NOT NULL
UNION SELECT key_id, now() FROM notices WHERE key_id IS NOT NULL
UNION SELECT two_factor_key_id, now() FROM users WHERE two_factor_key_id IS NOT NULL
UNION SELECT secret_key_id, now() FROM webhook_endpoints
UNION SELECT old_key_id, now() FROM webhook_endpoints WHERE old_key_id IS NOT NULL;
"""


def upgrade() -> None:
    """Create the table, and enter the keys that are in use."""
    for statements in (_KEYS, _KNOWN):
        op.execute(statements)
