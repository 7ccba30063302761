"""What became of rows that were handed in together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rules.errors import Fault

SHOWN_MAX: Final = 1_000
"""Refused rows that are remembered with their faults; the rest is counted."""


class RefusedRow(NamedTuple):
    """A row that was refused: its position among the requests, or its line in the file, from 1; and all its faults."""

    row: int
    faults: tuple[Fault, ...]


@dataclass(slots=True)
class RefusedRows:
    """Refused rows as they come: all counted, the first ones kept, so that memory stays flat."""

    count: int = 0
    kept: list[RefusedRow] = field(default_factory=list)

    def add(self, row: int, faults: Sequence[Fault]) -> None:
        """Count one more."""
        self.count += 1
        if len(self.kept) < SHOWN_MAX:
            self.kept.append(RefusedRow(row, tuple(faults)))

    def add_all(self, count: int, first: Sequence[tuple[int, Sequence[Fault]]]) -> None:
        """Count so many more, of which the first are given."""
        self.count += count
        self.kept.extend(RefusedRow(row, tuple(faults)) for row, faults in first[: SHOWN_MAX - len(self.kept)])

    def in_order(self) -> tuple[RefusedRow, ...]:
        """Those that were kept, by row."""
        return tuple(sorted(self.kept, key=lambda refused: refused.row))


@dataclass(frozen=True, slots=True)
class BatchReceipt:
    """What became of a batch. Without skip_bad a single refused row means that nothing at all was recorded.

    `repeated` rows ask for what was asked for before (R15). `batch_id` is None where there is no such batch.
    """

    batch_id: int | None
    recorded: int
    repeated: int
    refused_count: int
    refused: tuple[RefusedRow, ...]
