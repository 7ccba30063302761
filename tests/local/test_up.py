"""DESIGN section 9: `defray up` starts what nobody else provides, once a home, and tells other commands where it is."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

import settings
from local import topology, up
from local.lock import AlreadyInUse
from local.ports import answers, free_port
from local.postgres import Postgres
from local.valkey import Valkey
from sandbox.protocols import PROTOCOLS
from tests.gateways.builders import CONFIGS

THEIRS = {"DEFRAY_DATABASE_URL": "postgresql://me:pw@db.example/books", "DEFRAY_REDIS_URL": "redis://mq.example/0"}


def test_servers_of_ones_own(tmp_path: Path) -> None:
    """With DEFRAY_DATABASE_URL and DEFRAY_REDIS_URL nothing is embedded, nothing is even laid out."""
    with ExitStack() as parts:
        assert up.databases(tmp_path, THEIRS, parts, print) == {}
    assert list(tmp_path.iterdir()) == []


def test_one_server_of_ones_own(tmp_path: Path) -> None:
    """Each of the two is embedded where only the other is given, and ends with the block."""
    given = {"DEFRAY_DATABASE_URL": THEIRS["DEFRAY_DATABASE_URL"], "DEFRAY_REDIS_URL": ""}
    with ExitStack() as parts:
        found = up.databases(tmp_path, given, parts, print)
        assert list(found) == ["DEFRAY_REDIS_URL"]
        port = urlsplit(found["DEFRAY_REDIS_URL"]).port
        assert port
        assert answers(port)
    assert not answers(port)
    Valkey(tmp_path).remove()


def test_both_embedded(tmp_path: Path) -> None:
    """With neither given both are embedded, and the application gets the role that is no superuser."""
    with ExitStack() as parts:
        found = up.databases(tmp_path, {}, parts, print)
        with psycopg.connect(found["DEFRAY_DATABASE_URL"].replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT current_user::text").fetchone() == ("defray",)
    Postgres(tmp_path).remove()
    Valkey(tmp_path).remove()


def test_refused_twice_on_one_home(tmp_path: Path) -> None:
    """Another `defray up` on the same home is refused and named; on another home it is not."""
    with ExitStack() as first, ExitStack() as second, ExitStack() as elsewhere:
        up.own(tmp_path, first)
        with pytest.raises(AlreadyInUse, match=rf"`defray up` of {tmp_path} is in use by process {os.getpid()}: stop"):
            up.own(tmp_path, second)
        up.own(tmp_path / "other", elsewhere)
    with ExitStack() as later:
        up.own(tmp_path, later)


def test_usual_ports_taken(tmp_path: Path) -> None:
    """Where the usual port is taken, a free one is used and shown."""
    with ExitStack() as taken:
        for port in (topology.FLOWER_PORT, topology.SANDBOX_PORT, topology.WEB_PORT):
            stranger = taken.enter_context(socket.socket())
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Taken by somebody else already: as good.
            with suppress(OSError):
                stranger.bind(("127.0.0.1", port))
                stranger.listen()
        place = up.choose_place(tmp_path, {})
    assert place.flower_port not in (topology.FLOWER_PORT, topology.SANDBOX_PORT)
    assert place.sandbox_port not in (topology.FLOWER_PORT, topology.SANDBOX_PORT)
    assert place.web_port != topology.WEB_PORT
    assert f"127.0.0.1:{place.web_port}/" in up.addresses(place, {})["Console"]
    assert f"127.0.0.1:{place.flower_port} " in up.addresses(place, {})["Flower"]


def test_the_console_where_one_wants_it(tmp_path: Path) -> None:
    """DEFRAY_WEB_PORT and DEFRAY_WEB_ADDRESS hold for the console of `defray up`, too."""
    port = free_port()
    given = {"DEFRAY_WEB_PORT": str(port), "DEFRAY_WEB_ADDRESS": "127.0.0.2"}
    place = up.choose_place(tmp_path, given)
    assert place.web_port == port
    [web] = [process for process in up.processes(place, given) if process.name == "web"]
    assert dict(web.environment) == {**given, "DEFRAY_WEB_FLOWER_URL": f"http://127.0.0.1:{place.flower_port}"}
    assert web.stop_rank < min(process.stop_rank for process in up.processes(place, {}) if process.name != "web")


def test_the_console_links_to_flower(tmp_path: Path) -> None:
    """The console leads to the Flower that is started with it, or to the one that is named."""
    elsewhere = "https://flower.example"
    for given, leads in (({}, "http://127.0.0.1:5555"), ({"DEFRAY_WEB_FLOWER_URL": elsewhere}, elsewhere)):
        [web] = [one for one in up.processes(topology.Place(tmp_path), given) if one.name == "web"]
        assert web.environment["DEFRAY_WEB_FLOWER_URL"] == leads


def test_flower_links_to_the_console(tmp_path: Path) -> None:
    """Flower leads back to the console that is started with it, or to the one that is named."""
    elsewhere = "https://pay.example"
    for given, leads in (({}, "http://127.0.0.1:8000"), ({"DEFRAY_WEB_URL": elsewhere}, elsewhere)):
        [flower] = [one for one in up.processes(topology.Place(tmp_path), given) if one.name == "flower"]
        assert flower.environment["DEFRAY_WEB_URL"] == leads


def test_gateways_are_the_sandbox(tmp_path: Path) -> None:
    """Unless told otherwise the gateways are the sandbox, at its own paths and with its own accounts."""
    found = up.gateways(topology.Place(tmp_path, sandbox_port=18181), {})
    told = settings.load(found)
    assert told.gateways == tuple(one.name for one in PROTOCOLS)
    for one in PROTOCOLS:
        at = {"url": f"http://127.0.0.1:18181{one.paths[0]}"}
        assert told.gateway_config[one.name] == CONFIGS[one.name] | at


def test_gateways_of_ones_own(tmp_path: Path) -> None:
    """Who names gateways gets those only, with nothing of the sandbox mixed in."""
    place, given = topology.Place(tmp_path), {"DEFRAY_GATEWAYS": "payflow"}
    assert up.gateways(place, given) == {}
    assert "sandbox" not in [process.name for process in up.processes(place, given)]
    assert "Sandbox" not in up.addresses(place, given)
    assert "sandbox" in [process.name for process in up.processes(place, {})]
    assert "Sandbox" in up.addresses(place, {})


def test_quiet_logs(tmp_path: Path) -> None:
    """Processes that log little aren't waited for until they say that they are ready."""
    place = topology.Place(tmp_path)
    assert any(process.ready_text for process in up.processes(place, {"DEFRAY_LOG_LEVEL": ""}))
    assert any(process.ready_text for process in up.processes(place, {"DEFRAY_LOG_LEVEL": "DEBUG"}))
    assert not any(process.ready_text for process in up.processes(place, {"DEFRAY_LOG_LEVEL": "ERROR"}))


def test_other_commands_find_it(tmp_path: Path) -> None:
    """While it is up, what it chose stands in a private file; what the user gave does not, and later nothing does."""
    given = {"HOME": "/home/clerk", "DEFRAY_REDIS_URL": THEIRS["DEFRAY_REDIS_URL"]}
    chosen = {"DEFRAY_DATABASE_URL": "postgresql+psycopg://defray:pw@127.0.0.1:15432/defray"}
    with ExitStack() as parts:
        up.publish(tmp_path, {**given, **chosen}, given, parts)
        assert up.environment_of(tmp_path) == chosen
        assert (tmp_path / "running.json").stat().st_mode & 0o077 == 0
    assert up.environment_of(tmp_path) == {}


def test_clean_removes_the_servers_data(tmp_path: Path) -> None:
    """`make clean` leaves no data behind, under root neither outside the home, and none in use is touched."""
    home = tmp_path / "home"
    with ExitStack() as parts:
        up.databases(home, {}, parts, print)
    folders = [Postgres(home)._folder, Valkey(home)._folder]
    assert all(folder.exists() for folder in folders)
    argv, environment = [sys.executable, "-m", "local.clean"], {**os.environ, "DEFRAY_HOME": str(home)}
    with ExitStack() as parts:
        up.databases(home, THEIRS | {"DEFRAY_REDIS_URL": ""}, parts, print)
        refused = subprocess.run(argv, env=environment, capture_output=True, text=True)
        assert f"the broker of {home} is in use by process {os.getpid()}" in refused.stderr
    subprocess.run(argv, env=environment, check=True)
    assert not any(folder.exists() for folder in folders)
