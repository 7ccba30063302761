"""Issue 3, item 11: the commands and environments of docker-compose.yml, as plain processes beside real servers.

Only what a container would give is put in its place: the folders of secrets and volumes, ports, and addresses.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from sqlalchemy import create_engine

from cli.server_checks import of_workers
from local import compose_secrets
from local.ports import free_port
from local.valkey import Valkey
from rules.cards import Card
from sandbox.client import SandboxProcess
from tests import servers
from tests.faults.plant import PROJECT, Plant, Running, amex, mastercard, until, visa
from worker import pulse

WORKERS = ("worker-interactive", "worker-bulk", "worker-scheduled", "worker-outbound")


@dataclass(frozen=True)
class Compose:
    """The services of the file, told where their folders and ports are here."""

    services: Mapping[str, Any]
    instead: Mapping[str, str]
    settings: Mapping[str, str]

    def here(self, word: str) -> str:
        """A word of the file, with the places of this machine."""
        for there, here in self.instead.items():
            word = word.replace(there, here)
        return word

    def command(self, service: str) -> list[str]:
        """What a service runs."""
        return [self.here(word) for word in self.services[service]["command"]]

    def environment(self, service: str) -> dict[str, str]:
        """What a service is told: its own environment, and gateways.env where it reads that."""
        of_file = self.settings if self.services[service]["env_file"] else {}
        own: Mapping[str, str] = self.services[service]["environment"]
        return {name: self.here(value) for name, value in {**of_file, **own}.items()}

    def is_healthy(self, service: str) -> bool:
        """What the service's health check says."""
        kind, *words = self.services[service]["healthcheck"]["test"]
        words = [self.here(word).replace("$$", "$") for word in words]
        argv = ["sh", "-c", *words] if kind == "CMD-SHELL" else [sys.executable, *words[1:]]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        told = {**os.environ, **self.environment(service), "PATH": path, "HOSTNAME": socket.gethostname()}
        return subprocess.run(argv, cwd=PROJECT, env=told, capture_output=True).returncode == 0


@pytest.fixture
def compose(shared_servers: servers.Servers, valkey: Valkey, tmp_path: Path) -> Iterator[Compose]:
    """The file, with secrets drawn and an empty database and broker for it."""
    secrets, state, keys = (tmp_path / name for name in ("secrets", "state", "keys"))
    state.mkdir()
    keys.mkdir()
    compose_secrets.draw(secrets)
    example = (PROJECT / "gateways.env.example").read_text().splitlines()
    instead = {
        "/run/secrets": str(secrets),
        "/var/lib/defray-keys": str(keys),
        "/var/lib/defray": str(state),
        "0.0.0.0": "127.0.0.1",  # what a container listens on is its own
        "sandbox.localhost": "127.0.0.1",
        "8181": str(free_port()),
        "5555": str(free_port()),
        "8000": str(free_port()),
    }
    with servers.empty_database(shared_servers, f"defray_compose_{shared_servers.slot}") as database_url:
        for name, address in (("database_url", database_url), ("redis_url", valkey.url)):
            (secrets / name).unlink()
            (secrets / name).write_text(address)
        yield Compose(
            yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"],
            instead,
            dict(line.split("=", 1) for line in example if not line.startswith("#")),
        )


@pytest.fixture
def plant(compose: Compose, tmp_path: Path) -> Iterator[Plant]:
    """A plant that is told what the bulk worker's container is told; the sandbox is the one of the file."""
    told = compose.environment("worker-bulk")
    engine = create_engine(Path(told["DEFRAY_DATABASE_URL_FILE"]).read_text())
    sandbox_log = tmp_path / "sandbox.log"
    gateways = Running("sandbox", compose.command("sandbox"), compose.environment("sandbox"), sandbox_log)
    sandbox = SandboxProcess(gateways.process, {"control": f"http://127.0.0.1:{compose.instead['8181']}/sandbox/"})
    try:
        gateways.wait_for("control")
        built = Plant(engine, sandbox, tmp_path, told, [gateways])
        try:
            yield built
        finally:
            try:
                built.end()
            finally:
                sys.stdout.write(built.logs())
    finally:
        sandbox.stop()
        engine.dispose()


def signs_of_life(plant: Plant) -> bool:
    """Whether `defray doctor` hears a worker of each queue, and beat."""
    workers = pulse.workers(plant.broker, plant.settings.servers()[1])
    return all(one.well for one in of_workers(workers, pulse.since_sweep(plant.broker)))


def test_commands_of_the_compose_file(compose: Compose, plant: Plant) -> None:
    """Item 11: migrated, then worked on: a batch of cards and somebody who waits; every service is healthy."""
    migrate = plant.start("migrate", compose.command("migrate"), **compose.environment("migrate"))
    assert migrate.process.wait(30) == 0, migrate.output
    lasting = [*WORKERS, "beat", "flower", "web"]
    started = [plant.start(name, compose.command(name), **compose.environment(name)) for name in lasting]
    own = psutil.Process().nice()
    for name, one in zip(WORKERS, started, strict=False):
        one.wait_for(" ready.")
        later = 10 if name == "worker-bulk" else 0
        assert {child.nice() for child in one.children()} == {min(own + later, 19)}, "only batches let others go first"
    started[len(WORKERS)].wait_for("beat: Starting")
    batch = plant.hand_in([*visa(10), *mastercard(10), *amex(10)])
    [waiting] = amex(11)[10:]
    plant.bill({"W-1": ("walk-in", 500)})
    plant.producer.pay(
        {
            "idempotency_key": "walk-in",
            "method": "credit_card",
            "currency": "USD",
            "customer": "walk-in",
            "amount_minor": 500,
        },
        Card(waiting, 12, 2039, "1234", "Ann Example"),
        caller="desk",
        by="ann",
    )
    plant.cards.append(waiting)
    plant.wait_for_payments(posted=31)
    until(lambda: plant.rows("SELECT state FROM batches WHERE id = :id", id=batch)[0].state == "done", "it is closed")
    for name in (*lasting, "sandbox"):
        until(partial(compose.is_healthy, name), f"{name} is healthy", 15)
    until(partial(signs_of_life, plant), "doctor hears all of them")
    assert all(one.process.poll() is None for one in started)
    assert plant.sandbox.client.charges().keys() == {"payflow", "plugnpay"}
    plant.check()
    plant.drain()
    for one in started:
        lines = [line for line in one.output.splitlines() if line not in ("", "worker: Warm shutdown (MainProcess)")]
        assert all({"timestamp", "level", "event"} <= json.loads(line).keys() for line in lines), one.name
