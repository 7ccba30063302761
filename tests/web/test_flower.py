"""Links to Flower, the view of the workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from flower.utils.search import TaskSearchEngine
from starlette.testclient import TestClient

from settings import Settings
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import House, card
from tests.web.conftest import Visitor
from web.app import served
from web.flower import tasks_of_batch, tasks_of_payment

__all__ = ["house", "sandbox", "sandbox_process"]

FLOWER = "https://flower.example"


def found(address: str) -> list[str]:
    """The tasks that Flower shows at an address: its page puts "name:" before what the address calls a name."""
    [name] = parse_qs(urlsplit(address).query)["name"]
    kwargs = {
        "seven": "{'batch': 7, 'lane': '1 of 2'}",
        "seventy": "{'batch': 70, 'lane': '1 of 2'}",
        "single": "{'payment': 7}",
    }
    tasks = [
        (one, SimpleNamespace(uuid=one, name="defray.charge", state="SUCCESS", args="()", kwargs=said, result="done"))
        for one, said in kwargs.items()
    ]
    engine = TaskSearchEngine()
    engine.rebuild(tasks)
    return list(engine.search(dict(tasks), f"name:{name}").task_ids)


def test_searched_for_a_batch_or_a_payment() -> None:
    """Flower's list shows the tasks of that batch or payment, and no others."""
    assert found(tasks_of_batch(FLOWER, 7)) == ["seven"]
    assert found(tasks_of_payment(f"{FLOWER}/", 7, None)) == ["single"]
    assert sorted(found(tasks_of_payment(FLOWER, 7, 70))) == ["seventy", "single"]
    assert tasks_of_batch("", 7) == ""


@pytest.fixture
def watched(settings: Settings, office_people: None) -> Iterator[Visitor]:
    """A browser at a console that knows where Flower is."""
    with TestClient(served(replace(settings, web_flower_url=FLOWER)), base_url="http://127.0.0.1") as client:
        yield Visitor(client)


@pytest.mark.parametrize(("name", "links"), [("ann", 0), ("sue", 2)])
@pytest.mark.parametrize("window", ["", "/progress"])
def test_for_who_supervises(house: House, watched: Visitor, window: str, name: str, links: int) -> None:
    """Where Flower's address is set, a supervisor is led there; a clerk has no use for it."""
    watched.log_in(name)
    house.bill("C-1", {"A-1": 1250})
    payment = house.pay(1250, card())
    page = watched.get(f"/console/payments/{payment}{window}").text
    assert len(re.findall(f'href="{FLOWER}', page)) == links


def test_without_flower(clerk: Visitor) -> None:
    """Where no address is set there is no link."""
    assert "Flower" not in clerk.get("/console/find").text
