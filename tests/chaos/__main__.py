"""Breaking the real system, by seeds: `python -m tests.chaos --seeds 3`, one again: `--seed 7`."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from tests.chaos import disk
from tests.chaos.run import Outcome, Trial, run
from tests.chaos.site import FULL, SHORT, Site
from tests.chaos.soak import soak


class Story:
    """What happens, line by line, with the seconds since the seed's beginning."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self.begin()

    def begin(self) -> None:
        """Begin a new one."""
        self._began = time.monotonic()
        self.lines: list[str] = []

    def __call__(self, words: str) -> None:
        """One line more."""
        self.lines.append(f"  {time.monotonic() - self._began:6.2f} s  {words}")
        if not self._quiet:
            _print(self.lines[-1])


def main(argv: list[str]) -> int:
    """Run seeds, print what happened; 1 where anything was wrong."""
    asked = _parser().parse_args(argv)
    disk.own_mounts(argv)
    signal.signal(signal.SIGTERM, _end)
    trial = Trial(asked.payments, asked.singles, asked.apps, asked.faults, asked.seconds)
    seeds = [asked.seed] if asked.seed is not None else range(asked.first, asked.first + asked.seeds)
    story, outcomes = Story(asked.quiet), []
    with tempfile.TemporaryDirectory(prefix="defray-chaos-") as folder:
        site = Site(Path(folder), SHORT if asked.short else FULL, story, full_disk=not asked.short)
        try:
            began = time.monotonic()
            site.start()
            _print(f"everything is up after {time.monotonic() - began:.1f} s. {site.no_disk}")
            if asked.soak:
                wrong = soak(site, asked.soak, trial, story)
                _print("\n".join(f"    WRONG: {one}" for one in wrong[:20]) or "nothing grew, and all books agree")
                return 1 if wrong else 0
            for seed in seeds:
                _print(f"seed {seed}: {trial.payments} payments in a batch, up to {trial.singles} single ones")
                story.begin()
                outcome = run(site, seed, trial, story)
                outcomes.append(outcome)
                _tell(outcome, story, asked.quiet)
                if outcome.wrong:
                    _print(f"Again: make chaos SEED={seed} PAYMENTS={trial.payments} FAULTS={trial.faults}")
                    break
        finally:
            if asked.logs is not None:
                shutil.copytree(folder, asked.logs, ignore=_no_log, dirs_exist_ok=True)
            site.end()
    good = [one for one in outcomes if not one.wrong]
    kinds = sum((one.kinds for one in outcomes), Counter[str]())
    _print(f"{len(good)} of {len(outcomes)} seeds went well; faults: {dict(sorted(kinds.items()))}")
    return 0 if len(good) == len(outcomes) else 1


def _tell(outcome: Outcome, story: Story, quiet: bool) -> None:
    if outcome.wrong and quiet:
        _print("\n".join(story.lines))
    _print(outcome.figures)
    for one in outcome.wrong[:20]:
        _print(f"    WRONG: {one}")
    _print(f"  seed {outcome.seed}: {'WRONG' if outcome.wrong else 'well'}, {outcome.seconds:.0f} s")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    add = parser.add_argument
    add("--seeds", type=int, default=3, help="so many, one after the other")
    add("--first", type=int, default=1, help="the first of them")
    add("--seed", type=int, help="this one alone")
    add("--payments", type=int, default=2000, help="card payments of the batch")
    add("--singles", type=int, default=200, help="payments by the API, one by one, at the most")
    add("--apps", type=int, default=3, help="apps that call the API side by side")
    add("--faults", type=int, default=18, help="how many faults")
    add("--seconds", type=float, default=20.0, help="how long faults begin")
    add("--soak", type=float, metavar="MINUTES", help="load without a pause for so long, and what grows meanwhile")
    add("--short", action="store_true", help="smaller pools, shorter leases, no disk of its own")
    add("--quiet", action="store_true", help="tell the story of a seed that fails only")
    add("--logs", type=Path, metavar="FOLDER", help="keep there what the processes wrote during the last seed")
    return parser


def _no_log(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".log") and name not in ("home", "log")]


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit("ended by SIGTERM")


def _print(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
