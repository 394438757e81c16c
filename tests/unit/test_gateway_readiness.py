"""What is served while a part of the site does not answer."""

import pytest

from gateway import door, readiness
from tests.unit import fake_site
from tests.unit.fake_site import FakeOrthanc
from tests.unit.test_gateway_stow import MULTIPART, instance, multipart


@pytest.mark.parametrize("orthanc", [FakeOrthanc(protecting=False), FakeOrthanc(proof_key=b"of a stranger")])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/studies"), ("GET", "/studies/1.2"), ("POST", "/studies"), ("GET", "/x")]
)
def test_nothing_of_dicomweb_is_served_without_the_plugins_proof(tmp_path, orthanc, method, path):
    site = fake_site.build(tmp_path, orthanc)
    answer = site.client.request(method, "/dicom-web" + path, headers=site.bearer())
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.headers["retry-after"]


def test_a_proof_is_relied_upon_for_a_while_and_asked_anew_then(tmp_path, monkeypatch):
    site = fake_site.build(tmp_path)
    for _ in range(5):
        site.client.get("/dicom-web/studies", headers=site.bearer())
    assert site.orthanc.asked == 1
    monkeypatch.setattr(readiness, "FRESH", -1.0)
    site.client.get("/dicom-web/studies", headers=site.bearer())
    assert site.orthanc.asked == 2


def test_a_plugin_that_is_taken_out_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(readiness, "FRESH", -1.0)
    site = fake_site.build(tmp_path)
    assert site.client.get("/dicom-web/studies?x=1", headers=site.bearer()).status_code == 400
    site.orthanc.protecting = False
    assert site.client.get("/dicom-web/studies?x=1", headers=site.bearer()).status_code == 503


def test_an_instance_is_handed_over_only_to_an_orthanc_that_proved_itself_a_moment_ago(tmp_path, monkeypatch):
    """What is read may rely on a proof of seconds ago; an identified instance may not."""
    monkeypatch.setattr(door, "AT_THE_DOOR", -1.0)
    site = fake_site.build(tmp_path)
    site.client.get("/dicom-web/studies", headers=site.bearer())
    site.orthanc.protecting = False
    sent = {
        "content": multipart(instance()),
        "headers": site.bearer("dicomweb.write") | {"content-type": MULTIPART},
    }
    assert site.client.post("/dicom-web/studies", **sent).status_code == 503
    assert site.orthanc.received == []


def test_an_answer_recorded_earlier_proves_nothing(tmp_path):
    """The nonce is fresh: what answered another one does not match."""
    site = fake_site.build(tmp_path)
    recorded = site.orthanc._status(b"\0" * 16)
    site.orthanc._status = lambda nonce: recorded
    assert site.client.get("/dicom-web/studies", headers=site.bearer()).status_code == 503


def test_readiness_has_a_line_for_each_part(tmp_path):
    answer = fake_site.build(tmp_path).client.get("/health/ready")
    parts = answer.json()["parts"]
    assert answer.status_code == 503
    assert {name: part["ok"] for name, part in parts.items()} == {
        "orthanc": True,
        "plugin": True,
        "postgresql": False,
        "index": False,
        "keeper": False,
    }


def test_a_site_is_used_also_while_its_keeper_is_dead(tmp_path, monkeypatch):
    site = fake_site.build(tmp_path)

    async def report(readiness):
        return {"orthanc": "", "plugin": "", "postgresql": "", "index": "", "keeper": "no sign of life"}

    monkeypatch.setattr(readiness.Readiness, "report", report)
    answer = site.client.get("/health/ready")
    assert (answer.status_code, answer.json()["parts"]["keeper"]["ok"]) == (200, False)


def test_a_live_process_says_so_whatever_the_rest_does(tmp_path):
    site = fake_site.build(tmp_path, FakeOrthanc(protecting=False))
    assert site.client.get("/health/live").status_code == 200


def test_a_database_that_is_gone_is_503_without_a_word_about_it(tmp_path):
    answer = (site := fake_site.build(tmp_path)).client.get("/dicom-web/studies", headers=site.bearer())
    assert answer.status_code == 503
    assert "/nowhere" not in answer.text
