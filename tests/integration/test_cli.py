"""The command line at a real site: what it prints, and its exit status."""

import json
from pathlib import Path

import httpx
import pytest

from tests.live import LiveSite


def ask(site: LiveSite, token: str) -> int:
    """The status of a search with the token."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{site.dicomweb_url}/studies", headers=headers, trust_env=False).status_code


def fetch_token(site: LiveSite, client_id: str, secret: str, **form: str) -> httpx.Response:
    """RFC 6749 section 4.4.2."""
    data = {"grant_type": "client_credentials"} | form
    return httpx.post(f"{site.base_url}/oauth/token", data=data, auth=(client_id, secret), trust_env=False)


def test_token_prints_a_token_that_reads_and_nothing_else(site: LiveSite) -> None:
    printed = site.run("token").stdout
    assert printed.count("\n") == 1
    assert ask(site, printed.strip()) == 200


@pytest.mark.parametrize("arguments", [["--ttl", "1"], ["--ttl", "0s"], ["--ttl", "-5m"], ["--what"]])
def test_wrong_usage_is_exit_status_2(site: LiveSite, arguments: list[str]) -> None:
    assert site.run("token", *arguments, check=False).returncode == 2


@pytest.mark.parametrize("arguments", [["--scope", "everything"], ["--client", "nobody"], ["--ttl", "999h"]])
def test_a_token_that_nobody_may_have_is_exit_status_1(site: LiveSite, arguments: list[str]) -> None:
    done = site.run("token", *arguments, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr


def test_a_client_fetches_tokens_until_it_is_revoked(site: LiveSite) -> None:
    made = json.loads(site.run("client", "add", "screening", "--json").stdout)
    answer = fetch_token(site, "screening", made["client_secret"])
    assert ask(site, answer.json()["access_token"]) == 200
    assert ask(site, site.run("token", "--client", "screening").stdout.strip()) == 200
    site.run("client", "revoke", "screening")
    assert fetch_token(site, "screening", made["client_secret"]).json()["error"] == "invalid_client"
    assert site.run("token", "--client", "screening", check=False).returncode == 1


def test_a_client_gets_no_scope_that_it_was_not_given(site: LiveSite) -> None:
    made = json.loads(site.run("client", "add", "reader", "--json").stdout)
    refused = fetch_token(site, "reader", made["client_secret"], scope="dicomweb.write")
    assert refused.json()["error"] == "invalid_scope"
    assert site.run("token", "--client", "reader", "--scope", "dicomweb.write", check=False).returncode == 1


def test_the_list_of_clients_shows_no_secret(site: LiveSite) -> None:
    made = json.loads(site.run("client", "add", "listed", "--json").stdout)
    listed = site.run("client", "list", "--json").stdout
    assert {"client_id": "listed", "scope": "dicomweb.read", "revoked": False} in json.loads(listed)
    assert made["client_secret"] not in listed


def test_status_tells_programs_that_every_part_answers(site: LiveSite) -> None:
    state = json.loads(site.run("status", "--json").stdout)
    assert state["ready"] is True
    assert state["home"] == str(site.home)


def test_the_model_that_reads_is_listed_and_called_phantom_trained(site: LiveSite) -> None:
    rows = json.loads(site.run("model", "list", "--json").stdout)
    (row,) = [row for row in rows if row["name"] == "phantom-trained-density"]
    assert (row["active"], row["research_use_only"]) == (True, True)
    assert "phantom" in row["title"].lower()


def test_weights_that_are_none_are_refused(site: LiveSite, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"no weights")
    done = site.run("model", "import", "nyu-density", str(tmp_path / "weights"), check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_sending_nothing_that_exists_is_wrong_usage(site: LiveSite, tmp_path: Path) -> None:
    assert site.run("send", str(tmp_path / "absent"), check=False).returncode == 2


def test_sending_what_is_refused_is_exit_status_1(site: LiveSite, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM")
    done = site.run("send", str(tmp_path), check=False)
    assert done.returncode == 1
    assert "notes.txt" in done.stdout
