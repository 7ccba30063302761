"""The database's epoch, and the quarantine after a restore, which the database itself keeps."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0011"
down_revision = "0010"

_EPOCH: Final = """
CREATE TABLE epoch (
    only_row BOOLEAN DEFAULT true NOT NULL,
    life TEXT COLLATE "C" NOT NULL,
    system_identifier TEXT COLLATE "C" NOT NULL,
    timeline INTEGER NOT NULL,
    began_at TIMESTAMP WITH TIME ZONE NOT NULL,
    quarantined_at TIMESTAMP WITH TIME ZONE,
    quarantined_why TEXT COLLATE "C",
    released_at TIMESTAMP WITH TIME ZONE,
    released_by TEXT COLLATE "C",
    released_why TEXT COLLATE "C",
    CONSTRAINT pk_epoch PRIMARY KEY (only_row),
    CONSTRAINT ck_epoch_one_row CHECK (only_row),
    CONSTRAINT ck_epoch_quarantined_for_a_reason CHECK ((quarantined_at IS NULL) = (quarantined_why IS NULL)),
    CONSTRAINT ck_epoch_released_by_somebody CHECK (num_nonnulls(released_at, released_by, released_why) IN (0, 3))
);
"""

# Once a statement, not once a row. The shared lock (7363121 is this fence's number) makes a quarantine wait for sends
# that are being committed: what begins after it is refused. What was done already, and is only recorded, is let in.
_FENCE: Final = """
CREATE FUNCTION refuse_while_quarantined() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7363121);
    IF EXISTS (SELECT FROM epoch WHERE quarantined_at IS NOT NULL)
       AND current_setting('defray.records', true) IS DISTINCT FROM 'done' THEN
        RAISE EXCEPTION 'quarantined after a restore: nothing is charged, voided or refunded'
            USING HINT = 'See defray quarantine.';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER nothing_is_sent_while_quarantined BEFORE INSERT OR UPDATE OF sends ON gateway_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_while_quarantined();
"""


def upgrade() -> None:
    """Create them."""
    for statements in (_EPOCH, _FENCE):
        op.execute(statements)
