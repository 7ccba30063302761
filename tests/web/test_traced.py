"""Each answer names its trace, and so do the lines about it."""

from __future__ import annotations

import io
import re

from tests.web.conftest import Visitor

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_every_answer_names_its_trace(visitor: Visitor, log: io.StringIO) -> None:
    """A page, a problem and what is not there have an `X-Request-Id` each; lines about it have the same."""
    answers = [visitor.get("/console/login"), visitor.get("/v1/payments/7"), visitor.get("/nowhere")]
    ids = [one.headers["X-Request-Id"] for one in answers]
    assert [one.status_code for one in answers] == [200, 401, 404]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in ids)
    refused = visitor.log_in("ann", "wrong")
    [failed] = [line for line in log.getvalue().splitlines() if "log-in failed" in line]
    assert failed.endswith(f" trace_id={refused.headers['X-Request-Id']}")


def test_the_callers_trace_goes_on(visitor: Visitor) -> None:
    """Whoever names a trace finds it in the answer; what is no traceparent is passed over."""
    theirs = visitor.get("/readyz", headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    assert theirs.headers["X-Request-Id"] == TRACE
    ours = visitor.get("/readyz", headers={"traceparent": f"00-{TRACE}"})
    assert ours.headers["X-Request-Id"] != TRACE
