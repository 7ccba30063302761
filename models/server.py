"""What the PostgreSQL server says of itself, for `defray doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Facts:
    """Settings and standing of the server, the database and the role, as this connection meets them."""

    version: int  # 180006 is 18.6
    version_words: str
    fsync: bool
    full_page_writes: bool
    synchronous_commit: str
    data_checksums: bool
    wal_level: str
    archives: bool
    autovacuum: bool
    max_connections: int
    connections: int
    xid_age: int
    read_only: bool
    encoding: str
    superuser: bool


_FACTS = text("""
    SELECT CAST(current_setting('server_version_num') AS int) AS version,
           current_setting('server_version') AS version_words,
           CAST(current_setting('fsync') AS bool) AS fsync,
           CAST(current_setting('full_page_writes') AS bool) AS full_page_writes,
           current_setting('synchronous_commit') AS synchronous_commit,
           CAST(current_setting('data_checksums') AS bool) AS data_checksums,
           current_setting('wal_level') AS wal_level,
           current_setting('archive_mode') <> 'off' AS archives,
           CAST(current_setting('autovacuum') AS bool) AS autovacuum,
           CAST(current_setting('max_connections') AS int)
             - CAST(current_setting('superuser_reserved_connections') AS int) AS max_connections,
           (SELECT sum(numbackends) FROM pg_stat_database)::int AS connections,
           (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()) AS xid_age,
           pg_is_in_recovery() OR CAST(current_setting('default_transaction_read_only') AS bool) AS read_only,
           pg_encoding_to_char((SELECT encoding FROM pg_database WHERE datname = current_database())) AS encoding,
           CAST(current_setting('is_superuser') AS bool) AS superuser""")


def facts(conn: Connection) -> Facts:
    """What matters of it."""
    return Facts(**conn.execute(_FACTS).one()._mapping)
