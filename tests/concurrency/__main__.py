"""`make race ROUNDS=5000`: many rounds, with a line every hundred, until one is not serial or a ring was broken."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests import servers
from tests.concurrency.race import Round, rounds, wrong_books
from tests.concurrency.stage import stage

CHUNK = 100


def main() -> int:
    """Exit 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="make race")
    parser.add_argument("--rounds", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = time.monotonic()
    ends: set[str] = set()
    seen: Counter[str] = Counter()
    with (
        servers.borrowed() as borrowed,
        tempfile.TemporaryDirectory() as folder,
        stage(servers.fresh_database(borrowed), borrowed.redis_url, str(Path(folder) / "keys.json")) as built,
    ):
        for number, ran in enumerate(rounds(built, asked.seed, asked.rounds), start=1):
            count(seen, ran)
            ends.add(str(ran.at_once))
            if not ran.is_serial:
                say(f"round {number} of seed {asked.seed} is not serial:\n{ran.difference()}")
                return 1
            if number % CHUNK == 0 or number == asked.rounds:
                if wrong := wrong_books(built):
                    say("\n".join(wrong))
                    return 1
                say(
                    f"{number} rounds, {seen['turns']} transactions, {seen['refused']} acts refused,"
                    f" {len(ends)} different ends, {seen['another order']} by another order than that of the commits,"
                    f" {built.deadlocks()} rings, {time.monotonic() - began:.0f} s"
                )
        return 1 if built.deadlocks() else 0


def count(seen: Counter[str], ran: Round) -> None:
    """Count what a round met."""
    seen["turns"] += len(ran.order)
    seen["another order"] += ran.orders > 1
    seen["refused"] += sum(not told.endswith(": done") for told in ran.at_once["told"])


def say(words: str) -> None:
    """One line, at once."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
