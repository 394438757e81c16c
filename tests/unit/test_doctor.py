"""`senogate doctor` where no site runs: what its checks find in files, and that none of them holds up the others."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from packaging.requirements import Requirement

from archive import secrets
from archive.chain import Signers
from archive.settings import Settings, load
from archive.state_item import Level
from senogate import home as homes
from senogate.doctor import (
    certificates,
    clock,
    federation,
    gateway,
    installation,
    keys,
    orthanc,
    place,
    ports,
    processes,
    storage,
    visit,
)
from senogate.doctor.examination import Check, examine
from senogate.doctor.finding import Finding, act, fine, ordered
from senogate.site_secrets import prepare
from tests import certificates as made
from tests.live import find_free_ports


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A site's home with its keys, in which nothing runs."""
    folder = tmp_path / "home"
    prepare(load({"SENOGATE_HOME": str(folder)}))
    return folder


def look(check: Check, home: Path, **extra: str) -> dict[str, Finding]:
    """What a check finds, by the check that it names; what is wrong before what is not."""
    environment = {
        "SENOGATE_HOME": str(home),
        "SENOGATE_DATABASE_URL": "postgresql:///?host=/nowhere",
        **extra,
    }
    found = examine(place.look_at(load(environment)), {"check": check}, 60)
    return {finding.check: finding for finding in reversed(ordered(found))}


def test_whole_keys_of_mode_0600_are_fine(home: Path) -> None:
    assert {name: each.level for name, each in look(keys.look, home).items()} == {"secrets": Level.FINE}


@pytest.mark.parametrize(
    "name", ["site.key", "crosswalk.key", "crosswalk.pub", "signing.pem", "orthanc.password"]
)
def test_a_lost_key_is_named_and_to_be_restored(home: Path, name: str) -> None:
    (home / "secrets" / name).unlink()
    found = look(keys.look, home)["keys-missing"]
    assert found.level == Level.ACT
    assert found.said.endswith(name)
    assert "never made anew" in found.todo


@pytest.mark.parametrize("name", ["site.key", "signing.pem", "crosswalk.key"])
def test_a_key_that_others_may_read_is_to_be_closed(home: Path, name: str) -> None:
    path = home / "secrets" / name
    path.chmod(0o640)
    found = look(keys.look, home)["keys-open"]
    assert (found.level, found.command) == (Level.ACT, f"chmod 600 {path}")


def test_a_key_cut_short_is_damaged(home: Path) -> None:
    (home / "secrets" / "site.key").write_bytes(b"short")
    assert "32 bytes" in look(keys.look, home)["keys-damaged"].said


def test_keys_of_the_trail_that_were_rotated_are_fine(home: Path) -> None:
    public, new = home / "secrets" / secrets.AUDIT_PUBLIC_KEY, Ed25519PrivateKey.generate()
    known = Signers.from_bytes(public.read_bytes()).followed_by(new.public_key(), 7)
    secrets.write(public, known.to_bytes())
    secrets.write(home / "secrets" / secrets.AUDIT_KEY, new.private_bytes_raw())
    assert list(look(keys.look, home)) == ["secrets"]


def test_a_list_of_the_trails_keys_cut_short_is_damaged(home: Path) -> None:
    (home / "secrets" / secrets.AUDIT_PUBLIC_KEY).write_bytes(bytes(40))
    assert "no list of keys" in look(keys.look, home)["keys-damaged"].said


@pytest.mark.parametrize("name", ["crosswalk.key", "audit.key", "models.key"])
def test_a_private_key_of_another_site_is_found(home: Path, tmp_path: Path, name: str) -> None:
    other = load({"SENOGATE_HOME": str(tmp_path / "other")})
    prepare(other)
    secrets.write(home / "secrets" / name, Path(other.secrets, name).read_bytes())
    assert "is not the private key of" in look(keys.look, home)["keys-damaged"].said


def test_keys_whose_making_was_cut_short_are_told(home: Path) -> None:
    (home / "secrets" / secrets.COMPLETE).unlink()
    assert "not finished" in look(keys.look, home)["secrets"].said


def test_private_keys_are_not_missed_where_they_do_not_belong(home: Path, tmp_path: Path) -> None:
    """As in a container that is not given them."""
    for name in ("crosswalk.key", "audit.key", "models.key"):
        (home / "secrets" / name).unlink()
    elsewhere = str(tmp_path / "private" / "crosswalk.key")
    assert list(look(keys.look, home, SENOGATE_CROSSWALK_KEY=elsewhere)) == ["secrets"]


@pytest.mark.parametrize(
    ("there", "said"), [("onnxruntime-gpu", ""), ("onnx", "onnxruntime is not installed")]
)
def test_the_runtime_for_gpus_stands_for_the_other(
    monkeypatch: pytest.MonkeyPatch, there: str, said: str
) -> None:
    monkeypatch.setattr(installation, "_installed", {there: "1.30"}.get)
    assert installation._problem(Requirement("onnxruntime>=1.22")) == said


def test_a_port_that_another_program_has_is_named_with_the_program(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = look(ports.look, home, SENOGATE_DICOM_PORT=str(port))[f"port-{port}"]
    assert found.level == Level.ACT
    assert f"(process {os.getpid()})" in found.said
    assert "SENOGATE_DICOM_PORT" in found.todo


def test_free_ports_are_fine(home: Path) -> None:
    names = ("PORT", "DICOM_PORT", "ORTHANC_PORT")
    free = {f"SENOGATE_{name}": str(port) for name, port in zip(names, find_free_ports(3), strict=True)}
    assert {each.level for each in look(ports.look, home, **free).values()} == {Level.FINE}


def test_a_clock_behind_what_was_recorded_is_found(home: Path) -> None:
    log = home / "logs" / "worker.log"
    log.parent.mkdir()
    log.touch()
    os.utime(log, (time.time() + 90_000,) * 2)
    found = look(clock.look, home)["clock"]
    assert (found.level, "25 hours behind" in found.said or "24 hours behind" in found.said) == (
        Level.ACT,
        True,
    )


def test_a_certificate_for_another_key_is_found(home: Path, tmp_path: Path) -> None:
    one, other = made.make(tmp_path, "one"), made.make(tmp_path, "other")
    files = {"SENOGATE_TLS_CERTIFICATE": str(one.path), "SENOGATE_TLS_KEY": str(other.key_path)}
    assert look(certificates.look, home, **files)["certificate-key"].level == Level.ACT


def test_a_certificate_for_another_name_is_found(home: Path, tmp_path: Path) -> None:
    """RFC 9525 section 6: by its subject alternative names."""
    one = made.make(tmp_path, "one")
    files = {"SENOGATE_TLS_CERTIFICATE": str(one.path), "SENOGATE_TLS_KEY": str(one.key_path)}
    assert "certificate-name" not in look(certificates.look, home, **files)
    found = look(certificates.look, home, SENOGATE_PUBLIC_URL="https://images.example", **files)
    assert "images.example" in found["certificate-name"].said


def test_behind_a_proxy_the_name_is_the_proxys(home: Path, tmp_path: Path) -> None:
    one = made.make(tmp_path, "one")
    files = {"SENOGATE_TLS_CERTIFICATE": str(one.path), "SENOGATE_TLS_KEY": str(one.key_path)}
    behind = {"SENOGATE_PUBLIC_URL": "https://images.example", "SENOGATE_TRUSTED_PROXIES": "10.0.0.1"}
    assert not look(certificates.look, home, **files, **behind)["certificate-name"].is_trouble


def test_a_key_that_asks_for_a_passphrase_is_found_and_asks_nobody(home: Path, tmp_path: Path) -> None:
    one = made.make(tmp_path, "one")
    key = serialization.load_pem_private_key(one.key_path.read_bytes(), None)
    sealed = serialization.BestAvailableEncryption(b"a passphrase")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (tmp_path / "sealed.pem").write_bytes(key.private_bytes(*form, sealed))
    files = {
        "SENOGATE_TLS_CERTIFICATE": str(one.path),
        "SENOGATE_TLS_KEY": str(tmp_path / "sealed.pem"),
    }
    assert look(certificates.look, home, **files)["certificate-key"].level == Level.ACT


@pytest.mark.parametrize(("later", "lost"), [(["gone"], 1), ([], 0)], ids=["lost", "went-meanwhile"])
def test_what_leaves_the_spool_meanwhile_is_not_lost(tmp_path: Path, later: list[str], lost: int) -> None:
    (tmp_path / "here").touch()
    rows = [[("here",), ("gone",)], [(name,) for name in ["here", *later]]]
    assert storage._lost(Mock(execute=lambda query: rows.pop(0)), tmp_path) == lost


def test_authorities_that_are_none_are_found(home: Path) -> None:
    (home / "ca.pem").write_text("no certificate")
    found = look(certificates.look, home, SENOGATE_ISSUER_AUTHORITIES="ca.pem")["certificate-authorities"]
    assert found.said.startswith("issuer_authorities")


def test_a_site_that_does_not_run_is_told_once(home: Path) -> None:
    """What it would answer while it ran is not missed beside."""
    free = [str(port) for port in find_free_ports(3)]
    names = ("SENOGATE_PORT", "SENOGATE_DICOM_PORT", "SENOGATE_ORTHANC_PORT")
    settings = load({"SENOGATE_HOME": str(home), **dict(zip(names, free, strict=True))})
    Path(settings.storage).mkdir(parents=True)
    found = visit.visit(
        60, {key: value for key, value in settings.environment.items() if "DATABASE" not in key}
    )
    assert [each.check for each in found.findings if each.level == Level.ACT] == ["site"]


def test_a_gateway_that_has_too_much_to_do_is_one_that_answers(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = httpx.Response(503, headers={"content-type": "application/problem+json"}, json={"status": 503})
    monkeypatch.setattr(httpx, "get", lambda url, **options: problem)
    assert "as many requests as it may" in look(gateway.look, home)["gateway"].said
    assert gateway.answers(place.look_at(load({"SENOGATE_HOME": str(home)})))


def test_a_home_without_anything_is_told_how_to_begin(tmp_path: Path) -> None:
    found = look(processes.look, tmp_path / "none")["site"]
    assert found.command == "senogate up"


def test_a_storage_folder_that_is_not_mounted_is_found(home: Path) -> None:
    assert look(storage.look, home)["folder-storage"].level == Level.ACT


@pytest.mark.parametrize(("mount", "level"), [("/proc", None), ("/usr/lib", Level.ACT)])
def test_where_the_images_are_to_be_mounted(home: Path, mount: str, level: Level | None) -> None:
    told = {"SENOGATE_STORAGE": f"{mount}/storage", "SENOGATE_STORAGE_MOUNT": mount}
    found = look(storage.look, home, **told).get("storage-mount")
    assert (found.level if found else None) == level


def test_a_bucket_that_does_not_answer_and_a_key_that_anybody_may_read(home: Path) -> None:
    (home / "senogate.toml").write_text(
        f'storage_s3_url = "http://127.0.0.1:{find_free_ports(1)[0]}"\nstorage_s3_bucket = "images"\n'
        'storage_s3_access_key = "site"\nstorage_s3_secret_key = "hidden"\n'
    )
    (home / "senogate.toml").chmod(0o644)
    found = look(storage.look_at_bucket, home)
    assert {name: finding.level for name, finding in found.items()} == {
        "bucket": Level.ACT,
        "bucket-key": Level.ACT,
    }
    assert "hidden" not in str(found)


def test_a_folder_that_the_site_may_not_write_to_is_found(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homes, "running_pid", lambda home: os.getpid())
    assert look(storage.look, home)["folder-home"].level == Level.FINE
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert look(storage.look, home)["folder-home"].level == Level.ACT


def test_a_home_that_anybody_may_write_is_to_be_closed(home: Path) -> None:
    home.chmod(0o777)
    assert look(storage.look, home)["folder-home"].command == f"chmod o-w {home}"


def test_a_hub_that_can_not_be_reached_is_found(home: Path) -> None:
    from archive import federation_keys
    from archive.federation_roles import Joined, write_role

    settings = load({"SENOGATE_HOME": str(home)})
    (port,) = find_free_ports(1)
    federation_keys.make(settings)
    key = "A" * 43 + "="
    write_role(settings, Joined("here", f"http://127.0.0.1:{port}", "there", key, "2026-01-01T00:00:00Z"))
    found = look(federation.look, home)["hub"]
    assert found.level == Level.ACT
    assert str(port) in found.said


def test_a_hub_that_sites_can_not_dial_is_found(home: Path) -> None:
    from archive.federation_roles import Hub, write_role

    write_role(load({"SENOGATE_HOME": str(home)}), Hub("hub", "2026-01-01T00:00:00Z"))
    found = look(federation.look, home, SENOGATE_PUBLIC_URL="http://hub.example")["federation"]
    assert (found.level, "http" in found.said) == (Level.ACT, True)
    assert "federation.key" in look(keys.look, home)["keys-missing"].said


def test_a_damaged_file_of_a_federation_is_found(home: Path) -> None:
    (home / "federation").mkdir()
    (home / "federation" / "site.json").write_text("{}")
    assert "damaged" in look(federation.look, home)["federation"].said


@pytest.mark.parametrize(
    ("name", "value"),
    [("SENOGATE_PORT", "x"), ("SENOGATE_PROFILE", "none-such"), ("SENOGATE_RESULTS", "pdf")],
)
def test_settings_that_can_not_be_are_all_that_is_told(home: Path, name: str, value: str) -> None:
    found = visit.visit(60, {"SENOGATE_HOME": str(home), name: value})
    assert [(each.check, each.level) for each in found.findings] == [("settings", Level.ACT)]
    assert not found.is_healthy


def _settings(tmp_path: Path) -> Settings:
    return load({"SENOGATE_HOME": str(tmp_path), "SENOGATE_DATABASE_URL": "postgresql:///"})


def _examined(tmp_path: Path, checks: Mapping[str, Check], seconds: float) -> list[Finding]:
    return examine(place.Place(_settings(tmp_path), False), checks, seconds)


def test_a_check_that_hangs_is_unknown_and_hinders_no_other(tmp_path: Path) -> None:
    released = threading.Event()

    def hangs(_: place.Place) -> Iterator[Finding]:
        yield fine("first", "it was seen before")
        released.wait(60)

    try:
        found = _examined(tmp_path, {"hanging": hangs, "other": _says("other")}, 0.2)
    finally:
        released.set()
    assert [each.check for each in found] == ["first", "hanging", "other"]
    assert found[1].level == Level.UNKNOWN


def _says(name: str) -> Callable[[place.Place], Iterator[Finding]]:
    return lambda _: iter([fine(name, "well")])


def test_an_address_that_is_none_is_told_of_orthanc(home: Path) -> None:
    found = look(orthanc.look, home, SENOGATE_ORTHANC_URL="http://[::1")
    assert {each.level for each in found.values()} == {Level.UNKNOWN} and "InvalidURL" in found["check"].said


def test_a_check_that_can_not_look_says_so_without_a_value(tmp_path: Path) -> None:
    def denied(_: place.Place) -> Iterator[Finding]:
        raise PermissionError(13, "denied", "/a/path/with/a/name")
        yield

    (found,) = _examined(tmp_path, {"denied": denied}, 60)
    assert (found.level, found.said) == (Level.UNKNOWN, "it could not be found out (PermissionError)")


@pytest.mark.parametrize("level", Level)
def test_only_what_is_wrong_or_was_not_seen_is_trouble(level: Level) -> None:
    found = visit.Visit("home", [Finding("check", level, "said")])
    assert found.is_healthy == (level in (Level.FINE, Level.LOOK))
    assert json.loads(json.dumps(found.to_json()))["findings"][0]["level"] == level


def test_what_is_well_is_shown_on_request_alone() -> None:
    found = visit.Visit("home", ordered([fine("one", "well"), act("two", "broken", "Mend it.", "mend")]))
    assert found.to_text(False).splitlines() == [
        "act: two: broken. Mend it. (mend)",
        "home: 1 of 2 things is wrong",
    ]
    assert "fine: one: well." in found.to_text(True)
