"""deploy/helm/senogate: by Helm's own linter and renderer (its Go SDK), and by Kubernetes' schemas."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import Chart, HelmError, lint
from kubernetes_validate import validate

from archive.settings import Settings
from senogate.alive import PARTS

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "senogate"
COMPOSE = CHART.parents[2] / "docker-compose.yml"
KUBERNETES = "1.29", "1.34"
VALUES: dict[str, dict[str, Any]] = {
    "site": {},
    "hub": {"federation": {"role": "hub"}},
    "member": {"federation": {"role": "site"}, "storage": {"accessMode": "ReadWriteMany"}},
    "gpu": {"worker": {"gpu": True, "replicas": 2}, "settings": {"rate_limit": 100, "search_public": True}},
    "public": {
        "publicUrl": "https://images.hospital.example",
        "ingress": {"enabled": True, "host": "images.hospital.example", "tlsSecret": "tls"},
        "networkPolicy": {"clinicalNetworks": ["10.20.0.0/16"]},
        "orthanc": {"service": {"type": "LoadBalancer", "port": 104}},
    },
    "database elsewhere": {
        "database": {"internal": False, "existingSecret": "database"},
        "secretSettings": "more",
    },
}
Manifest = dict[str, Any]


def render(values: dict[str, Any]) -> list[Manifest]:
    with Chart.load(CHART) as chart:
        texts = chart.render(values, name="site", namespace="imaging")
    found = [
        each for name, text in texts.items() if name.endswith(".yaml") for each in yaml.safe_load_all(text)
    ]
    return [each for each in found if each]


def render_valid(values: dict[str, Any]) -> list[Manifest]:
    """As an installation does: the values are checked before."""
    with Chart.load(CHART) as chart:
        chart.validate_schema(values)
    return render(values)


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """By the component of each its pod's specification."""
    return {
        each["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"]["template"]["spec"]
        for each in manifests
        if each["kind"] in ("Deployment", "StatefulSet", "Job")
    }


def containers(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {one["name"]: one for pod in pods(manifests).values() for one in pod["containers"]}


@pytest.mark.parametrize("name", VALUES)
def test_helms_linter_finds_no_fault(name: str) -> None:
    report = lint(CHART, VALUES[name], strict=True)
    assert (report["errors"], [one for one in report["messages"] if one["severity"] > 1]) == ([], [])


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", VALUES)
def test_what_it_renders_is_of_kubernetes_schemas(name: str, version: str) -> None:
    for manifest in render(VALUES[name]):
        validate(manifest, version, strict=True)


@pytest.mark.parametrize(
    "values",
    [
        {"frob": 1},
        {"publicUrl": "images.example"},
        {"settings": {"database_url": "postgresql://somebody:secret@db/senogate"}},
        {"database": {"internal": False}},
        {"ingress": {"enabled": True}},
        {"image": {"gateway": "senogate"}},
        {"federation": {"role": "spoke"}},
        {"federation": {"role": "hub"}, "gateway": {"replicas": 2}},
    ],
    ids=["unknown", "address", "secret", "database", "ingress", "tag", "role", "replicas"],
)
def test_values_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(HelmError):
        render_valid(values)


@pytest.mark.parametrize("name", VALUES)
def test_no_container_has_privileges(name: str) -> None:
    for pod in pods(render(VALUES[name])).values():
        assert (pod["automountServiceAccountToken"], pod["securityContext"]["runAsNonRoot"]) == (False, True)
        for one in pod["containers"] + pod.get("initContainers", []):
            assert one["securityContext"]["allowPrivilegeEscalation"] is False
            assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", ["hub", "member"])
def test_a_part_has_the_keys_that_docker_compose_gives_it(name: str) -> None:
    services = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    for part, container in containers(render(VALUES[name])).items():
        if part == "postgresql":
            continue
        mounted = {mount["name"] for mount in container["volumeMounts"]} & {"secrets", "private"}
        given = {volume.split(":")[0] for volume in services[part]["volumes"]} & {"secrets", "private"}
        assert mounted == given, part


@pytest.mark.parametrize("name", ["hub", "member"])
def test_a_part_has_the_folders_that_docker_compose_gives_it(name: str) -> None:
    services = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    for part, container in containers(render(VALUES[name])).items():
        if part in ("postgresql", "init"):  # what a federation's commands write is the gateway's pod's
            continue
        mounted = {
            (mount["mountPath"], mount.get("readOnly", False))
            for mount in container["volumeMounts"]
            if mount["name"] == "data"
        }
        volumes = [each.split(":") for each in services[part]["volumes"] if each[0] != "."]
        given = {
            (path, mode == ["ro"]) for name, path, *mode in volumes if name not in ("secrets", "private")
        }
        assert mounted == given, part


@pytest.mark.parametrize("name", ["hub", "member"])
def test_only_init_writes_keys(name: str) -> None:
    for part, container in containers(render(VALUES[name])).items():
        keys = [one for one in container["volumeMounts"] if one["name"] in ("secrets", "private")]
        assert part == "init" or all(mount.get("readOnly") for mount in keys)


def test_settings_become_variables_that_exist() -> None:
    named = {one["name"] for one in containers(render(VALUES["gpu"]))["worker"]["env"]}
    keys = {
        name.removeprefix("SENOGATE_").removesuffix("_FILE").lower() for name in named if "SENOGATE" in name
    }
    assert {"rate_limit", "search_public"} <= keys <= set(Settings.__dataclass_fields__)


def test_every_part_is_asked_whether_it_does_its_work() -> None:
    found = containers(render(VALUES["hub"])) | containers(render(VALUES["member"]))
    assert "livenessProbe" not in found.pop("init")
    asked = {name: one["livenessProbe"].get("exec", {}).get("command", [])[1:] for name, one in found.items()}
    assert {name for name, command in asked.items() if command == ["alive", name]} == PARTS.keys() - {
        "schema"
    }


def test_only_the_sites_own_parts_reach_database_and_orthanc() -> None:
    policies = {
        each["metadata"]["name"]: each["spec"] for each in render({}) if each["kind"] == "NetworkPolicy"
    }
    (database,) = policies["site-database"]["ingress"]
    assert database["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "site"
    assert all("from" in rule for rule in policies["site-orthanc"]["ingress"])
