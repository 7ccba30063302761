"""Issue 9: the manifests are what Kubernetes takes, and run the processes of `defray up`."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import settings
from local import topology

MANIFESTS = Path(__file__).parents[2] / "deploy" / "kubernetes"
KUSTOMIZATION = MANIFESTS / "kustomization.yaml"
PLACE = topology.Place(Path("/var/lib/defray"), address="0.0.0.0")
PROCESSES = (
    topology.migration(),
    *topology.workers(),
    topology.beat(PLACE),
    topology.flower(PLACE, Path("/run/secrets/defray/flower_password")),
    topology.web(PLACE),
)
KUBERNETES = "1.33"


def resources() -> list[Path]:
    """The files that the kustomization names."""
    return [MANIFESTS / name for name in yaml.safe_load(KUSTOMIZATION.read_text())["resources"]]


def documents(text: str) -> Iterator[dict[str, Any]]:
    """Every manifest but KEDA's, which is none of Kubernetes' own."""
    for document in yaml.safe_load_all(text):
        if not document["apiVersion"].startswith("keda.sh/"):
            yield document


def container(process: topology.Process) -> dict[str, Any]:
    """The one container that runs a process."""
    for file in resources():
        for document in documents(file.read_text()):
            if document["metadata"]["name"] == process.name and "template" in document["spec"]:
                (found,) = document["spec"]["template"]["spec"]["containers"]
                return dict(found)
    raise LookupError(process.name)


@pytest.mark.parametrize("file", resources(), ids=lambda file: file.name)
def test_kubernetes_takes_it(file: Path) -> None:
    """Each manifest fits Kubernetes' own schema, strictly; the check itself sees a fault."""
    for document in documents(file.read_text()):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate({**document, "spec": {**document["spec"], "sepc": 1}}, KUBERNETES, strict=True)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
def test_same_command(process: topology.Process) -> None:
    """A pod runs the very command of `defray up`, within limits of memory."""
    found = container(process)
    assert found["command"] == list(process.argv)
    assert "memory" in found["resources"]["limits"]


def test_flower_keeps_its_state() -> None:
    """What Flower has seen lies on a volume of its own, where one pod writes."""
    found = container(PROCESSES[6])
    (given,) = found["env"]
    (mounted,) = found["volumeMounts"]
    assert settings.load({given["name"]: given["value"]}).flower_folder.parent == Path(mounted["mountPath"])


def test_environment_is_one_that_defray_starts_with() -> None:
    """The settings and files that every pod gets are understood, and every secret file is one that is mounted."""
    patches = [MANIFESTS / "patches" / name for name in ("every-pod.yaml", "with-keys.yaml")]
    given: dict[str, str] = {}
    for patch in patches:
        (found,) = yaml.safe_load(patch.read_text())["spec"]["template"]["spec"]["containers"]
        given |= {one["name"]: one["value"] for one in found["env"]}
    given |= dict(line.split("=", 1) for line in (MANIFESTS / "settings.env").read_text().split("\n") if line)
    made, keys = yaml.safe_load(KUSTOMIZATION.read_text())["secretGenerator"]
    named = {Path(name).name for name in (*made["files"], *keys["files"])}
    assert named == {file.name for file in (MANIFESTS / "secrets.example").iterdir()}
    located = {
        name: value.replace("/run/secrets/defray", str(MANIFESTS / "secrets.example")) for name, value in given.items()
    }
    assert settings.load(located).servers()[0].startswith("postgresql+psycopg://")
    assert settings.load(located).log_format == "json"


def test_jobs_and_pods_get_the_same() -> None:
    """The patch of jobs is that of the other pods."""
    pod, job = (yaml.safe_load((MANIFESTS / "patches" / f"every-{kind}.yaml").read_text()) for kind in ("pod", "job"))
    assert pod["spec"] == job["spec"]


def test_put_together(tmp_path: Path) -> None:
    """Kustomize makes manifests that fit the schema; only who opens cards has the keys, and nobody is root."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: it alone can put the manifests together")
    folder = tmp_path / "kubernetes"
    shutil.copytree(MANIFESTS, folder)
    (folder / "secrets.example").rename(folder / "secrets")
    made = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=True).stdout
    holders = set()
    for document in documents(made):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        if "template" in document.get("spec", {}):
            pod = document["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"]
            assert all(one["securityContext"]["readOnlyRootFilesystem"] for one in pod["containers"])
            assert document["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"] == "defray"
            if any(volume["name"] == "keys" for volume in pod["volumes"]):
                holders.add(document["metadata"]["name"])
    assert holders == {"web", *(process.name for process in topology.workers())}
