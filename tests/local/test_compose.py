"""Issue 3, item 11: docker-compose.yml is valid and runs the processes of `defray up`, with secrets from files."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

import settings
from gateways.http import HttpClient
from local import compose_secrets, topology
from sandbox.payflow import Payflow
from sandbox.plugnpay import PlugnPay

PROJECT = Path(__file__).parents[2]
COMPOSE = PROJECT / "docker-compose.yml"
PLACE = topology.Place(Path("/var/lib/defray"), address="0.0.0.0")
PROCESSES = (
    topology.migration(),
    *topology.workers(),
    topology.beat(PLACE),
    topology.flower(PLACE, Path("/run/secrets/flower_password")),
    topology.web(PLACE),
    topology.sandbox(PLACE),
)


@pytest.fixture(scope="module")
def compose() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def check(file: Path) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(argv, capture_output=True, text=True)


def test_fits_the_compose_schema(tmp_path: Path) -> None:
    """The file is what the Compose specification allows; the check itself sees a fault."""
    assert check(COMPOSE).returncode == 0, check(COMPOSE).stdout
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(COMPOSE.read_text().replace("healthcheck:", "healthchek:", 1))
    assert check(wrong).returncode == 1


def test_services_are_the_processes_and_their_servers(compose: Mapping[str, Any]) -> None:
    """Nothing of `defray up` is missing, nothing else is there, save the two servers."""
    assert set(compose["services"]) == {process.name for process in PROCESSES} | {"postgres", "valkey"}


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
def test_same_command(compose: Mapping[str, Any], process: topology.Process) -> None:
    """A service runs the very command of `defray up`, with the environment that the command needs."""
    service = compose["services"][process.name]
    assert service["command"] == list(process.argv)
    assert process.environment.items() <= service["environment"].items()
    if process.name != "sandbox":
        assert service["environment"]["DEFRAY_HOME"] == str(PLACE.home)


@pytest.mark.parametrize("process", topology.workers(), ids=lambda process: process.name)
def test_workers_may_drain(compose: Mapping[str, Any], process: topology.Process) -> None:
    """A worker is given at least as long to end what it has begun as `defray up` gives it."""
    grace = compose["services"][process.name]["stop_grace_period"]
    assert float(grace.removesuffix("s")) >= process.drain


def test_secrets_come_from_files(compose: Mapping[str, Any]) -> None:
    """No environment has a password or an address with one in it; every secret is a file outside the repository."""
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            is_secret = any(word in variable for word in ("PASSWORD", "URL", "KEY"))
            assert not is_secret or variable.endswith("_FILE"), f"{name}: {variable}"
            assert "://" not in value, f"{name}: {variable}"
    ignored = (PROJECT / ".gitignore").read_text().splitlines()
    for name, secret in compose["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
    assert "secrets/" in ignored
    assert "secrets" in (PROJECT / ".dockerignore").read_text().splitlines()


def test_secrets_used_are_defined_and_drawn(compose: Mapping[str, Any], tmp_path: Path) -> None:
    """What services use, what the file defines and what `make secrets` draws are the same; drawing again keeps all."""
    used = {secret for service in compose["services"].values() for secret in service.get("secrets", [])}
    assert used == set(compose["secrets"])
    folder = tmp_path / "secrets"
    assert set(compose_secrets.draw(folder)) == used
    assert folder.stat().st_mode & 0o077 == 0
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert compose_secrets.draw(folder) == []
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert before["database_password"] in before["database_url"]
    assert before["valkey_conf"].split()[1] in before["redis_url"]


def test_environments_are_settings(compose: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every service's environment, with the example's gateways, is one that Defray starts with: its sandbox too."""
    secrets = tmp_path / "secrets"
    compose_secrets.draw(secrets)
    lines = (PROJECT / "gateways.env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    for process in PROCESSES[:-1]:
        given = compose["services"][process.name]["environment"]
        located = {name: value.replace("/run/secrets", str(secrets)) for name, value in given.items()}
        found = settings.load({**located, **example})
        assert found.servers()[0] == (secrets / "database_url").read_text()
    payflow, plugnpay = found.gateway_config["payflow"], found.gateway_config["plugnpay"]
    assert {name: payflow[name] for name in Payflow.credentials} == Payflow.credentials
    assert plugnpay["publisher_name"] == PlugnPay.credentials["publisher"]
    assert plugnpay["publisher_password"] == PlugnPay.credentials["password"]
    for url in (payflow["url"], plugnpay["url"]):
        assert [urlsplit(url).hostname] == compose["services"]["sandbox"]["networks"]["default"]["aliases"]
        HttpClient(url, {}, pool_size=1, connect_timeout=1, read_timeout=1)


def test_flower_keeps_its_state_on_a_volume(compose: Mapping[str, Any]) -> None:
    """What Flower has seen outlasts its container."""
    flower = compose["services"]["flower"]
    (mounted,) = (volume.split(":")[1] for volume in flower["volumes"])
    home = flower["environment"]["DEFRAY_HOME"]
    assert Path(mounted) in settings.load({"DEFRAY_HOME": home}).flower_folder.parents


def test_every_lasting_service_has_a_health_check(compose: Mapping[str, Any]) -> None:
    """Only the migration, which ends by itself, has none."""
    without = {name for name, service in compose["services"].items() if "healthcheck" not in service}
    assert without == {"migrate"}


def test_nothing_starts_before_the_tables_are_there(compose: Mapping[str, Any]) -> None:
    """Workers, beat, Flower and the console wait for the migration, which waits for the database."""
    for process in (*topology.workers(), topology.beat(PLACE), *PROCESSES[5:7]):
        needs = compose["services"][process.name]["depends_on"]
        assert needs["migrate"] == {"condition": "service_completed_successfully"}
        assert needs["valkey"] == {"condition": "service_healthy"}
    assert compose["services"]["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_broker_evicts_nothing(compose: Mapping[str, Any]) -> None:
    """DESIGN section 9: noeviction; C2: nothing on disk."""
    command = compose["services"]["valkey"]["command"]
    assert command[2:] == [
        *("--maxmemory-policy", "noeviction", "--maxmemory", "384mb"),
        *("--save", "", "--appendonly", "no"),
    ]


def test_every_service_has_its_limit(compose: Mapping[str, Any]) -> None:
    """None can take all the memory of the machine, the servers no more than the rest."""
    assert all(service["mem_limit"] for service in compose["services"].values())


def test_no_service_leaves_a_core_dump(compose: Mapping[str, Any]) -> None:
    """C1, C2: no crash writes a card's number, or a key of the hour, to a disk."""
    assert {name for name, service in compose["services"].items() if service.get("ulimits") != {"core": 0}} == set()


def test_published_on_loopback_only(compose: Mapping[str, Any]) -> None:
    """What is published at all is published on loopback: Flower, the console and the sandbox."""
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports == {
        "flower": ["127.0.0.1:5555:5555"],
        "web": ["127.0.0.1:8000:8000"],
        "sandbox": ["127.0.0.1:8181:8181"],
    }
    assert compose["services"]["sandbox"]["profiles"] == ["sandbox"]


def test_image_runs_as_nobody_special() -> None:
    """The image installs by hash and hands over to a user without privileges."""
    lines = (PROJECT / "Dockerfile").read_text().splitlines()
    assert lines[0] == "FROM python:3.13-slim"
    assert [line for line in lines if line.startswith("USER ")] == ["USER defray"]
    assert any("--require-hashes" in line for line in lines)
