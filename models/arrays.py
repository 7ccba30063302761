"""Lists as PostgreSQL's arrays: most of what set-based statements are given, which psycopg writes item by item."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.abc import Buffer, DumperKey
from psycopg.adapt import PyFormat
from psycopg.types.array import BaseListDumper, ListDumper

_BIGINTS: Final = 1016
_FEW: Final = frozenset({bool, date, datetime})


class ArrayDumper(ListDumper):
    """Writes lists of one kind of thing at once; whatever else there is, psycopg does.

    Whole numbers are a bigint[], however small they are, so that a statement is prepared once.
    """

    def get_key(self, obj: list[Any], format: PyFormat) -> DumperKey:  # noqa: A002 - psycopg's name for it
        """Which dumper the list needs."""
        return (self.cls, int) if _kinds(obj) == {int} else super().get_key(obj, format)

    def upgrade(self, obj: list[Any], format: PyFormat) -> BaseListDumper:  # noqa: A002 - psycopg's name for it
        """The dumper that the list needs."""
        if _kinds(obj) != {int}:
            return super().upgrade(obj, format)
        dumper = type(self)(self.cls, self._tx)
        dumper.oid = _BIGINTS
        return dumper

    def dump(self, obj: list[Any]) -> Buffer | None:
        """The array as PostgreSQL reads it."""
        kinds = _kinds(obj)
        if kinds == {int}:
            return b"{%s}" % ",".join(map(str, obj)).replace("None", "NULL").encode()
        if kinds == {str}:
            return self._texts(obj)
        if len(kinds) == 1 and kinds <= _FEW:
            written = {item: bytes(super(ArrayDumper, self).dump([item]) or b"")[1:-1] for item in set(obj)}
            return b"{%s}" % b",".join([written[item] for item in obj])
        return super().dump(obj)

    def _texts(self, texts: list[str | None]) -> Buffer | None:
        written = ",".join(
            ["NULL" if item is None else '"' + item.replace("\\", r"\\").replace('"', r"\"") + '"' for item in texts]
        )
        return super().dump(texts) if "\0" in written else b"{%s}" % written.encode()  # psycopg refuses it in words


def _kinds(items: list[Any]) -> set[type]:
    return set(map(type, items)) - {type(None)}


def write_at_once(connection: Connection[Any]) -> None:
    """Let this connection write lists so."""
    connection.adapters.register_dumper(list, ArrayDumper)
