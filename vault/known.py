"""Which keys this database knows: a proof of each that ever sealed something here, and whether it is still needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from typing import Final

from sqlalchemy import Connection, text

from vault.keyring import Keyring

_ONE_AT_A_TIME: Final = text("SELECT pg_advisory_xact_lock(7363122)")  # this lock's number
_ALL: Final = text("SELECT key_id, proof, fingerprint_proof, current_since, retired_at FROM vault_keys ORDER BY 4, 1")
_SHOW: Final = text("""
    INSERT INTO vault_keys AS k (key_id, proof, fingerprint_proof, current_since)
    VALUES (:key_id, :proof, :fingerprint_proof, clock_timestamp())
    ON CONFLICT (key_id) DO UPDATE
    SET proof = excluded.proof, fingerprint_proof = excluded.fingerprint_proof, retired_at = NULL
    WHERE k.proof IS NULL OR k.retired_at IS NOT NULL""")
_TAKE: Final = text("UPDATE vault_keys SET current_since = clock_timestamp() WHERE key_id = :key_id")
_RETIRE: Final = text("""
    UPDATE vault_keys SET retired_at = clock_timestamp() WHERE key_id = :key_id AND retired_at IS NULL""")
# A transaction that began before the new key was everywhere may still bring in what the old one sealed.
_SETTLED: Final = text("""
    SELECT clock_timestamp() > since + :margin AND NOT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < since + :margin)
    FROM (SELECT max(current_since) AS since FROM vault_keys WHERE retired_at IS NULL) k""")


@dataclass(frozen=True, slots=True)
class Known:
    """A key that sealed something in this database."""

    key_id: str
    current_since: datetime
    retired_at: datetime | None
    proofs: tuple[bytes, bytes] | None


def lock(conn: Connection) -> None:
    """Let nobody else find out at the same time that there is no key yet, until this transaction ends."""
    conn.execute(_ONE_AT_A_TIME)


def all_keys(conn: Connection) -> list[Known]:
    """All of them, retired ones, too, in the order in which they came into use."""
    return [
        Known(
            row.key_id,
            row.current_since,
            row.retired_at,
            None if row.proof is None else (bytes(row.proof), bytes(row.fingerprint_proof)),
        )
        for row in conn.execute(_ALL)
    ]


def needed(conn: Connection) -> list[Known]:
    """Those that are not retired."""
    return [one for one in all_keys(conn) if one.retired_at is None]


def show(conn: Connection, keyring: Keyring, key_ids: Iterable[str]) -> None:
    """Make keys known that seal something here, or complete what is known of them."""
    proofs = {key_id: keyring.proof(key_id) for key_id in sorted(key_ids)}
    conn.execute(
        _SHOW,
        [
            {"key_id": key_id, "proof": shown[0], "fingerprint_proof": shown[1]}
            for key_id, shown in proofs.items()
            if shown is not None
        ],
    )


def take(conn: Connection, keyring: Keyring, key_id: str) -> None:
    """Note that from now on this key seals what comes."""
    show(conn, keyring, [key_id])
    conn.execute(_TAKE, {"key_id": key_id})


def retire(conn: Connection, key_id: str) -> None:
    """Note that nothing is sealed by it any more."""
    conn.execute(_RETIRE, {"key_id": key_id})


def is_settled(conn: Connection, margin: object) -> bool:
    """Whether the current key is that long in use, and every transaction that began before has ended."""
    return bool(conn.execute(_SETTLED, {"margin": margin}).scalar_one())


def fits(known: Known, keyring: Keyring) -> bool:
    """Whether a keyring has this very key, beside the same key of the fingerprints."""
    shown = keyring.proof(known.key_id)
    if shown is None or known.proofs is None:
        return shown is not None
    return compare_digest(shown[0], known.proofs[0]) and compare_digest(shown[1], known.proofs[1])
