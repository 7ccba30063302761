"""`python -m tests.simulation`: run seeds, tell what was met; a failing seed is made short and told in words."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests import servers
from tests.simulation.bugs import BUGS, hunt
from tests.simulation.plan import plan
from tests.simulation.run import run, shortened
from tests.simulation.world import own_ground


def find_bugs(first: int, most: int) -> int:
    """A table of all bugs, the seed that finds each, and by which rule; exits 1 where one is not found."""
    missed = 0
    with servers.borrowed() as borrowed, own_ground(borrowed, servers.fresh_database(borrowed)) as here:
        sys.stdout.write("| the bug | breaks | found at seed | as |\n| --- | --- | --- | --- |\n")
        for bug in BUGS[first : first + most]:
            found = hunt(here, bug)
            missed += found is None
            at, wrong = found or ("not found", "")
            sys.stdout.write(f"| {bug.name} | {bug.rule} | {at} | {wrong} |\n")
            sys.stdout.flush()
    return 1 if missed else 0


def main() -> int:
    """Exits 1 where a seed fails."""
    arguments = argparse.ArgumentParser(prog="python -m tests.simulation")
    arguments.add_argument("--seeds", type=int, default=1_000, help="how many")
    arguments.add_argument("--first", type=int, default=1, help="the first of them")
    arguments.add_argument("--story", action="store_true", help="tell each run, too")
    arguments.add_argument("--from-bug", type=int, default=0, help="leave so many of them out")
    arguments.add_argument("--most-bugs", type=int, default=len(BUGS), help="and look at so many")
    arguments.add_argument("--bugs", action="store_true", help="plant every deliberate bug, and tell what finds it")
    asked = arguments.parse_args()
    if asked.bugs:
        return find_bugs(asked.from_bug, asked.most_bugs)
    say = sys.stdout.write
    met: Counter[str] = Counter()
    steps, began = 0, time.monotonic()
    with servers.borrowed() as borrowed, own_ground(borrowed, servers.fresh_database(borrowed)) as here:
        for seed in range(asked.first, asked.first + asked.seeds):
            ran = run(here, plan(seed), seed=seed)
            steps += ran.steps
            met += ran.met
            if asked.story:
                say("\n".join(ran.story) + "\n")
            if ran.wrong:
                say(f"seed {seed} fails: {ran.wrong}\nmaking it short ...\n")
                short = run(here, shortened(here, plan(seed), seed=seed), seed=seed)
                say("\n".join(short.story))
                say(f"\nagain: python -m tests.simulation --first {seed} --seeds 1 --story\n")
                return 1
    took = time.monotonic() - began
    say(f"{asked.seeds:,} seeds, {steps:,} steps, {asked.seeds / took:.1f} seeds a second: every rule held.\n")
    for name, times in sorted(met.items()):
        say(f"  {name:34} {times:8,}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
