"""Issue 9, item 10: the wheel is the whole of Defray and nothing else, and works where only it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import venv
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from itertools import chain
from pathlib import Path
from typing import Final

import psycopg
import pytest
from packaging.requirements import Requirement
from sqlalchemy import make_url

from local.ports import answers, free_port
from tests import servers
from tests.faults.plant import until

PROJECT: Final = Path(__file__).parents[2]
DEV: Final = Path(sysconfig.get_path("purelib"))
NOT_SHIPPED: Final = {"README.md"}
"""What stands in the folders of packages for whoever reads the sources."""


@dataclass(frozen=True)
class Installed:
    """An environment of its own with the wheel in it, and an empty folder to stand in."""

    folder: Path
    elsewhere: Path
    wheel: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    def run(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, with these settings and no others."""
        command = [str(self.folder / "bin" / words[0]), *words[1:]]
        return subprocess.run(
            command, cwd=self.elsewhere, env=self.environment(settings), capture_output=True, text=True, timeout=60
        )

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        known = {name: value for name, value in os.environ.items() if not name.startswith(("DEFRAY_", "PYTHON"))}
        return {**known, "HOME": str(self.elsewhere), **settings}


@cache
def kept_files() -> list[str]:
    """What the repository holds, or is about to; of an unpacked archive all that is not hidden or made."""
    if (git := shutil.which("git")) and (PROJECT / ".git").exists():
        asked = [git, "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True)
        if listed.returncode == 0:
            return [name for name in listed.stdout.splitlines() if (PROJECT / name).is_file()]
    found = (path.relative_to(PROJECT) for path in PROJECT.rglob("*") if path.is_file())
    return [path.as_posix() for path in found if not re.search(r"(^|/)(\.|__pycache__|build/)", path.as_posix())]


@cache
def parts() -> set[str]:
    packages = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    return {package.partition(".")[0] for package in packages}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, built without a network from a clean copy, in a fresh environment that borrows our dependencies."""
    copy, environment, elsewhere = (tmp_path_factory.mktemp(name) for name in ("copy", "environment", "elsewhere"))
    for name in kept_files():
        if name.partition("/")[0] in parts() or "/" not in name:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, copy / name)
    hook = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    built = subprocess.run([sys.executable, "-Ic", hook, copy / "dist"], cwd=copy, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = (copy / "dist").glob("*.whl")
    fresh = Installed(environment, elsewhere, wheel)
    venv.create(environment, with_pip=False)
    pip = [sys.executable, "-Im", "pip", "--python", str(fresh.python), "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run([*pip, "--no-compile", wheel], cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # A path file in a folder that a path file names is not read: what leads to our sources stays out.
    (fresh.packages / "borrowed.pth").write_text(f"{DEV}\n")
    return fresh


def test_the_wheel_has_what_is_kept(installed: Installed) -> None:
    """Every module, migration, template, static file and font of the repository is in the wheel; tests are not."""
    expected = {
        name
        for name in kept_files()
        if (name.partition("/")[0] in parts() and Path(name).name not in NOT_SHIPPED)
        or name in ("settings.py", "celeryconfig.py")
    }
    with zipfile.ZipFile(installed.wheel) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == expected
    assert any(name.startswith("models/migrations/versions/0001") for name in packed)


def test_what_the_wheel_says_of_itself(installed: Installed) -> None:
    """Its metadata has the version, the licence with its text, and the extras."""
    told = Distribution.at(next(installed.packages.glob("defray-*.dist-info")))
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert told.version == project["version"]
    assert told.metadata["License-Expression"] == "Apache-2.0"
    assert told.read_text("licenses/LICENSE")
    assert set(told.metadata.get_all("Provides-Extra") or []) == set(project["optional-dependencies"])


def test_the_command(installed: Installed) -> None:
    """`defray` runs from an empty folder, and it is the installed one."""
    version, told = installed.run("defray", "--version"), installed.run("defray", "--help")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert (version.stdout, version.returncode) == (f"defray {project['version']}\n", 0)
    assert "charge cards exactly once" in told.stdout
    where = installed.run("python", "-c", "import cli, settings, papers.sheet; print(cli.__file__, settings.__file__)")
    assert where.returncode == 0, where.stderr
    assert all(Path(name).is_relative_to(installed.packages) for name in where.stdout.split())


def test_migrate_and_serve(installed: Installed, shared_servers: servers.Servers, redis_url: str) -> None:
    """It brings an empty database to today's tables by its own migrations, and serves a page with its style."""
    with servers.empty_database(shared_servers, f"defray_wheel_{shared_servers.slot}") as url:
        port = free_port()
        told = {
            "DEFRAY_DATABASE_URL": url,
            "DEFRAY_REDIS_URL": redis_url,
            "DEFRAY_WEB_PORT": str(port),
            "DEFRAY_KEY_FILE": str(installed.elsewhere / "keys.json"),
        }
        migrated = installed.run("defray", "migrate", **told)
        assert migrated.returncode == 0, migrated.stderr
        with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(False)) as connection:
            (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
        newest = max(path.name for path in (PROJECT / "models/migrations/versions").glob("[0-9]*.py"))
        assert newest.startswith(str(version))
        log = installed.elsewhere / "web.log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [installed.python, "-m", "web"],
                cwd=installed.elsewhere,
                env=installed.environment(told),
                stdout=output,
                stderr=output,
            ) as web,
        ):
            try:
                until(lambda: answers(port) or web.poll() is not None, "the web process listens")
                assert web.poll() is None, log.read_text()
                page = fetched(port, "/console/login")
                style = re.search(r'href="(/static/[^"]+/console\.css)"', page)
                assert style, page
                assert fetched(port, style[1]) == (PROJECT / "web/static/console.css").read_text()
            finally:
                web.terminate()


def fetched(port: int, path: str) -> str:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return str(answer.read().decode())


def test_without_extras(installed: Installed, tmp_path: Path) -> None:
    """Without any extra, workers and the command line are whole; the web process and Flower name theirs."""
    lean = tmp_path / "lean"
    lean.mkdir()
    for name in needed_by(Distribution.at(next(installed.packages.glob("defray-*.dist-info")))):
        for top in {Path(str(file)).parts[0] for file in distribution(name).files or []} - {"..", "__pycache__"}:
            (lean / top).unlink(missing_ok=True)
            (lean / top).symlink_to(DEV / top)
    path = installed.packages / "borrowed.pth"
    before = path.read_text()
    path.write_text(f"{lean}\n")
    servers_named = {"DEFRAY_DATABASE_URL": "postgresql://me@127.0.0.1/books", "DEFRAY_REDIS_URL": "redis://127.0.0.1"}
    try:
        every = installed.run("python", "-c", EVERY_MODULE, *sorted(parts() - {"web"}), **servers_named)
        assert every.returncode == 0, every.stderr
        for process, extra in (("web", "web"), ("worker.flower", "flower")):
            ended = installed.run("python", "-m", process, **servers_named)
            assert ended.returncode == 1
            assert ended.stderr.endswith(f"pip install 'defray[{extra}]'\n"), ended.stderr
        ended = installed.run("defray", "up")
        assert ended.returncode == 3
        assert "install defray[local]" in ended.stderr
    finally:
        path.write_text(before)


EVERY_MODULE: Final = """
import importlib, pkgutil, sys
for part in sys.argv[1:]:
    for module in pkgutil.walk_packages(importlib.import_module(part).__path__, f"{part}."):
        if module.name not in OF_ALEMBIC and not module.name.startswith(("worker.flower", "telemetry.otlp")) \\
                and module.name != "rules.one_time_codes" and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
""".replace("OF_ALEMBIC", "{'models.migrations.env'}")
"""Imports all but what alembic runs, what only Flower and the web process import, and programs."""


def needed_by(root: Distribution) -> set[str]:
    """The names of all that it needs without an extra, near and far."""
    found: dict[str, set[str]] = {}
    todo = [(requirement, "") for requirement in root.requires or []]
    while todo:
        text, extra = todo.pop()
        wanted = Requirement(text)
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        known = found.setdefault(wanted.name, set())
        for each in {"", *wanted.extras} - known:
            known.add(each)
            todo += [(requirement, each) for requirement in distribution(wanted.name).requires or []]
    return set(found)


def test_what_is_imported_is_asked_for() -> None:
    """Every package that a part imports is named in pyproject.toml: a dependency of a dependency may go away."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    theirs = {module for line in lines for module in modules_of(Requirement(line).name)}
    known = {*sys.stdlib_module_names, *parts(), "settings", "celeryconfig", *theirs}
    assert {module: place for module, place in imported_by_parts() if module not in known} == {}


def modules_of(name: str) -> set[str]:
    """What can be imported of a distribution; nothing of one for another platform."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return set()
    return {str(file).partition("/")[0].partition(".")[0] for file in files if str(file).endswith((".py", ".so"))}


def imported_by_parts() -> Iterator[tuple[str, str]]:
    """Each module that a part imports, and a file that does."""
    for part in parts():
        for path in (PROJECT / part).rglob("*.py"):
            for module in re.findall(r"^ *(?:import|from) (\w+)[\w.]*(?: import .*| as .*)?$", path.read_text(), re.M):
                yield module, path.name
