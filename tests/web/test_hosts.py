"""Issue 8, attack: an address of a request, or the host that it names, leads nobody elsewhere."""

from __future__ import annotations

from tests.web.conftest import Visitor

ELSEWHERE = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}


PATHS = (
    *("/", "/console", "/console/", "/console/find/", "/console/login/", "/v1/docs/", "/v1/customers/x/"),
    *("//evil.example/console/login/", "/console/..//evil.example/", "/%2f%2fevil.example/", "/\\evil.example/"),
    *("/console/find?next=//evil.example", "/console/header", "/console/payments/1", "/console/nothing"),
)


def test_nothing_leads_to_a_host_that_a_request_names(visitor: Visitor) -> None:
    """A foreign Host header makes no link and no redirect; one slash too many is no redirect to it either."""
    for path in PATHS:
        answer = visitor.client.request("GET", path, headers=ELSEWHERE, follow_redirects=False)
        assert answer.headers.get("location", "/console").startswith("/console"), path
        assert "evil.example" not in answer.text.replace(path, ""), path
        assert not [value for value in answer.headers.values() if "evil" in value], path
