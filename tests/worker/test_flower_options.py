"""What Flower is told: who may look at it, what it keeps, and how it shows a task."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flower.utils.authentication import authenticate, validate_auth_option
from flower.utils.search import TaskSearchEngine

from rules.errors import SettingsError
from settings import Settings, load
from worker import words
from worker.flower_options import chosen, environment
from worker.flower_pages import in_words

OAUTH = {
    "DEFRAY_FLOWER_LOGIN": "gitlab",
    "DEFRAY_FLOWER_PEOPLE": "ann@example.com, sue@example.com",
    "DEFRAY_FLOWER_OAUTH_KEY": "flower",
    "DEFRAY_FLOWER_OAUTH_SECRET": "s3cret-of-flower",
    "DEFRAY_WEB_FLOWER_URL": "https://flower.example/",
}


def told(tmp_path: Path, **given: str) -> Settings:
    """Settings with a home of their own."""
    return load({"DEFRAY_HOME": str(tmp_path), **given})


def test_nobody_looks_without_logging_in(tmp_path: Path) -> None:
    """C3: Flower does not start without a password or a provider, on whatever address."""
    with pytest.raises(SettingsError, match="DEFRAY_FLOWER_PASSWORD_FILE"):
        chosen(told(tmp_path), "127.0.0.1")
    options = chosen(told(tmp_path, DEFRAY_FLOWER_PASSWORD="a word"), "")
    assert options["basic_auth"] == ["defray:a word"]
    assert options["address"] == "127.0.0.1"


def test_what_it_keeps(tmp_path: Path) -> None:
    """Its state outlasts it, in a folder for nobody else: below the home, or where one wants it."""
    elsewhere = tmp_path / "elsewhere"
    for given, folder in (({}, tmp_path / "flower"), ({"DEFRAY_FLOWER_STATE": str(elsewhere)}, elsewhere)):
        options = chosen(told(tmp_path, DEFRAY_FLOWER_PASSWORD="a word", **given), "")
        assert options["persistent"]
        assert options["db"] == str(folder / "flower")
        assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("people", "in_", "out"),
    [
        ("ann@example.com, sue@example.com", "sue@example.com", "dan@example.com"),
        ("ann@example.com", "ann@example.com", "ann@example.com.evil.example"),
        ("*@example.com", "dan@example.com", "dan@evil.example"),
    ],
)
def test_people_who_may_look(tmp_path: Path, people: str, in_: str, out: str) -> None:
    """By OAuth those get in who are named, as Flower itself reads it; the password is not asked for beside it."""
    options = chosen(told(tmp_path, **OAUTH | {"DEFRAY_FLOWER_PEOPLE": people, "DEFRAY_FLOWER_PASSWORD": "x"}), "")
    assert "basic_auth" not in options
    assert options["oauth2_redirect_uri"] == "https://flower.example/login"
    assert validate_auth_option(options["auth"])
    assert authenticate(options["auth"], in_)
    assert not authenticate(options["auth"], out)


def test_a_provider_of_ones_own(tmp_path: Path) -> None:
    """GitHub Enterprise and GitLab are found by their host, Okta by its address."""
    assert environment(told(tmp_path, **OAUTH)) == {}
    own = environment(told(tmp_path, **OAUTH, DEFRAY_FLOWER_OAUTH_URL="https://id.example/oauth2/default"))
    assert own["FLOWER_GITLAB_OAUTH_DOMAIN"] == own["FLOWER_GITHUB_OAUTH_DOMAIN"] == "id.example"
    assert own["FLOWER_OAUTH2_OKTA_BASE_URL"] == "https://id.example/oauth2/default"


@pytest.mark.parametrize("lacks", [name for name in OAUTH if name != "DEFRAY_FLOWER_LOGIN"])
def test_all_of_oauth_is_needed(lacks: str) -> None:
    """What is missing of it is told by name."""
    with pytest.raises(SettingsError, match=f"{lacks} is not set, and DEFRAY_FLOWER_LOGIN is gitlab"):
        load({name: value for name, value in OAUTH.items() if name != lacks})


@pytest.mark.parametrize(
    "people", ["ann", "*@*", "*", "*@example.com,ann@example.com", "a|b@example.com", "@a.example"]
)
def test_people_are_addresses(people: str) -> None:
    """A pattern that would let in others than it seems to is refused."""
    with pytest.raises(SettingsError, match="DEFRAY_FLOWER_PEOPLE"):
        load(OAUTH | {"DEFRAY_FLOWER_PEOPLE": people})


def task(**fields: Any) -> SimpleNamespace:
    """A task as Flower has it."""
    return SimpleNamespace(**{"name": "defray.charge", "args": "()", "result": None, **fields})


@pytest.mark.parametrize(
    ("given", "name", "args", "result"),
    [
        ({"args": "Charge cards: batch 7, lane 1 of 2"}, "Charge cards", "batch 7, lane 1 of 2", None),
        ({"result": "'batch 7: 4 of 10'"}, "Charge cards", "", "batch 7: 4 of 10"),
        ({"result": "'batch 7: cut o..."}, "Charge cards", "", "'batch 7: cut o..."),
        ({"result": "7"}, "Charge cards", "", "7"),
        ({"name": "defray.brandnew"}, "Brandnew", "", None),
        ({"args": "(7,)"}, "Charge cards", "(7,)", None),
        ({"name": None, "args": None}, "", None, None),
    ],
)
def test_a_task_in_words(given: dict[str, Any], name: str, args: str | None, result: str | None) -> None:
    """D4: name, arguments and result are words; what is none is shown as it is."""
    shown = in_words(task(**given))
    assert (shown.name, shown.args, shown.result) == (name, args, result)


def test_the_words_lead_to_siblings() -> None:
    """Flower makes a search of the name that is shown: it finds the same step's tasks, and no others."""
    steps = ("charge", "notice", "inquire")
    tasks = [
        (step, SimpleNamespace(uuid=step, name=f"defray.{step}", args=words.of_call(step, {"batch": 7})))
        for step in steps
    ]
    engine = TaskSearchEngine()
    engine.rebuild(tasks)
    for step in steps:
        assert list(engine.search(dict(tasks), f"name:{words.title(step)}").task_ids) == [step]
