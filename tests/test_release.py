"""One version everywhere, and a CHANGELOG in the form of Keep a Changelog."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from click.testing import CliRunner

from cli.main import defray
from rules.release import VERSION

PROJECT = Path(__file__).parents[1]
RELEASE = re.compile(r"## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d|unreleased)")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def headings(level: str) -> list[str]:
    """The headings of a level in CHANGELOG.md, the top one first."""
    lines = (PROJECT / "CHANGELOG.md").read_text().splitlines()
    return [line for line in lines if line.startswith(f"{level} ")]


def test_one_version() -> None:
    """The command, pyproject.toml, the top of CHANGELOG.md and the API's document name the same release."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    top = RELEASE.fullmatch(headings("##")[0])
    told = json.loads((PROJECT / "docs" / "openapi.json").read_text())["info"]["version"]
    said = CliRunner().invoke(defray, ["--version"]).output
    assert top is not None
    assert {project, top[1], told, said.strip().removeprefix("defray ")} == {VERSION}


def test_the_changelog_keeps_its_form() -> None:
    """Each release has its version and its day, the newest first; only the top one may be unreleased."""
    releases = [RELEASE.fullmatch(heading) for heading in headings("##")]
    assert all(releases), headings("##")
    found = [(tuple(map(int, one[1].split("."))), one[2]) for one in releases if one is not None]
    assert [version for version, _ in found] == sorted({version for version, _ in found}, reverse=True)
    assert all(day != "unreleased" for _, day in found[1:])
    assert {heading.removeprefix("### ") for heading in headings("###")} <= KINDS
