"""Nothing lost, nothing twice: seeded runs of the real code, and a few deliberate bugs that they find."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from books import charge
from tests import servers
from tests.simulation.bugs import BUGS, Bug, DoesNotApplyError, Patch, hunt, planted
from tests.simulation.plan import plan
from tests.simulation.run import run, shortened
from tests.simulation.world import Ground, own_ground

# The last ones have failed: a quarantine without end, a retry that waited for ever, a quarantine that was rolled back,
# a refund that was sent again too late, a void that nobody looked up.
SEEDS = (*range(1, 61), 237, 286, 875, 1_247, 1_412)
QUICK = ("the reference is derived from ids", "a retry does not look whether it is still owed", "E5's index is dropped")


@pytest.fixture(scope="module")
def ground(shared_servers: servers.Servers, database_url: str) -> Iterator[Ground]:
    """What all runs share."""
    with own_ground(shared_servers, database_url) as built:
        yield built


def test_every_rule_holds_whatever_happens(ground: Ground) -> None:
    """E1-E5, R8, R11, R17, B2: after each step of each seed, and every payment ends."""
    for seed in SEEDS:
        ran = run(ground, plan(seed), seed=seed)
        assert ran.wrong is None, f"seed {seed}: {ran.wrong}\n" + "\n".join(ran.story)


def test_a_seed_is_the_same_story_again(ground: Ground) -> None:
    """A failing seed can be looked at: step by step the same, and every fault at the same place."""
    for seed in (5, 29, 126):
        once, again = (run(ground, plan(seed), seed=seed) for _ in range(2))
        assert (once.steps, once.met, once.story) == (again.steps, again.met, again.story)


@pytest.mark.parametrize("name", QUICK)
def test_a_deliberate_bug_is_found(ground: Ground, name: str) -> None:
    """The checks can fail; all bugs are planted by `make simulate-bugs`."""
    [bug] = [bug for bug in BUGS if bug.name == name]
    assert hunt(ground, bug) is not None
    assert run(ground, plan(1)).wrong is None


def test_every_bug_can_still_be_planted(ground: Ground) -> None:
    """A patch that applies to nothing would prove nothing."""
    assert len(BUGS) >= 20
    for bug in BUGS:
        with planted(bug, ground):
            pass
    with (
        pytest.raises(DoesNotApplyError),
        planted(Bug("none", "none", (Patch(charge, "begin", "not there", ""),)), ground),
    ):
        pass


def test_a_failing_plan_is_made_short(ground: Ground) -> None:
    """What is not needed for the failure is left out, and it fails by the same rule."""
    [bug] = [bug for bug in BUGS if bug.name == "E5's index is dropped"]
    with planted(bug, ground):
        long = next(steps for steps in map(plan, range(1, 60)) if len(steps) > 5 and run(ground, steps).wrong)
        short = shortened(ground, long)
        assert len(short) < len(long)
        assert (run(ground, short).wrong or "").startswith("E5")
