"""A second model reads in the shadow of the one that answers: what it finds is kept, and shown nowhere."""

import json
import tomllib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archive import secrets, webhooks
from archive.webhooks import Wanted
from archive.workitem import GLOBAL_WORKLIST
from inference import installed
from inference.package import load, save
from tests.conformance.permitted import run
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually
from tests.receiver import Receiver, receiving

NAME, TITLE = "second-opinion", "Second opinion"
BUILT_IN = load(installed.BUILT_IN / "phantom_density")


@pytest.fixture(scope="module")
def shadow(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The built-in density model under another name, signed by another key, reads in its own shadow."""
    folder = tmp_path_factory.mktemp("maker")
    passport = tomllib.loads((BUILT_IN.folder / "passport.toml").read_text())
    passport["identity"] |= {"name": NAME, "title": TITLE}
    kept = {name: table for name, table in passport.items() if name not in ("format", "network", "signature")}
    package = save(folder / NAME, BUILT_IN.read_network(), kept)
    key = folder / "key"
    site.run("model", "key", str(key))
    site.run("model", "sign", str(package.folder), "--key", str(key))
    site.run("model", "trust", f"{key}.pub")
    site.run("model", "add", str(package.folder))
    site.run("model", "enable", NAME, "--shadow")
    yield
    site.run("model", "disable", NAME)


@pytest.fixture(scope="module")
def told(site: LiveSite) -> Iterator[Receiver]:
    """The receiver of a webhook, while the administrator subscribes to the whole worklist."""
    name, key = f"w{uuid.uuid4().hex[:10]}", secrets.read_key(site.settings.secrets, secrets.SITE_KEY)
    path = f"/workitems/{GLOBAL_WORKLIST}/subscribers/{name}"
    with receiving() as receiver, site.client() as client:
        wanted = Wanted(name, receiver.url, "administrator")
        run(site.settings, lambda connection: webhooks.add(connection, wanted, key, by="os:tester"))
        assert client.post(path).status_code == 201
        yield receiver
        client.delete(path)
        run(site.settings, lambda connection: webhooks.remove(connection, name))


@pytest.fixture(scope="module")
def study(
    site: LiveSite,
    shadow: None,
    told: Receiver,
    phantom_exam: Callable[[], list[bytes]],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """An exam that both have read, and of which the webhook was told."""
    folder = write(tmp_path_factory.mktemp("exam"), phantom_exam())
    uid: str = site.send(folder)["studies"][0]["study_instance_uid"]
    eventually(lambda: rows(site, uid, shadow=True)[0][0] == "done")
    eventually(lambda: uid in told.told())
    return uid


def rows(site: LiveSite, study: str, *, shadow: bool) -> list[tuple[Any, ...]]:
    read = (
        "select state, model, findings, result_sop_instance_uid from reading"
        " where study_instance_uid = %s and task = 'density' and shadow = %s"
    )
    with site.database() as database:
        return database.execute(read, [study, shadow]).fetchall() or [("",)]


def test_what_it_finds_is_kept_and_no_report_is_made_of_it(site: LiveSite, study: str) -> None:
    ((state, model, findings, result),) = rows(site, study, shadow=True)
    assert (state, model, result) == ("done", f"{TITLE} {BUILT_IN.model.version}", None)
    ((_, _, answered, report),) = rows(site, study, shadow=False)
    assert findings["findings"]["evaluations"] and report and answered["findings"]["evaluations"]


def test_it_is_logged(site: LiveSite, study: str) -> None:
    """Regulation (EU) 2024/1689 article 12."""
    logged = "select model_name, shadow from inference_log where study_instance_uid = %s and task = 'density'"
    with site.database() as database:
        found = database.execute(logged, [study]).fetchall()
    assert sorted(found) == [("phantom-trained-density", False), (NAME, True)]


@pytest.mark.parametrize(
    "path",
    [
        *("/dicom-web/studies/{}/series", "/dicom-web/studies/{}/instances?includefield=all"),
        *("/dicom-web/studies/{}/metadata", "/api/studies/{}/readings"),
        *("/worklist/?sort=arrival", "/worklist/rows?StudyInstanceUID={}"),
        "/dicom-web/workitems?InputInformationSequence.StudyInstanceUID={}",
    ],
)
def test_it_is_shown_nowhere(site: LiveSite, study: str, path: str) -> None:
    with site.client() as client:
        answer = client.get(f"{site.base_url}{path.format(study)}")
    assert answer.status_code == 200
    assert study in answer.text
    assert TITLE not in answer.text and NAME not in answer.text


def test_one_report_and_one_workitem_are_all_there_is(site: LiveSite, study: str) -> None:
    with site.client() as client:
        reports = client.get(f"/studies/{study}/series?Modality=SR").json()
        query = f"InputInformationSequence.StudyInstanceUID={study}&ScheduledWorkitemCodeSequence.CodeValue=density"
        workitems = eventually(lambda: client.get(f"/workitems?{query}").json())
    densities = [each for each in reports if "density" in json.dumps(each).lower()]
    assert (len(densities), len(workitems)) == (1, 1)


def test_nobody_is_told_of_it(site: LiveSite, study: str, told: Receiver) -> None:
    about = [
        each["data"]
        for each in told.messages()
        if each["data"]["study_instance_uid"] == study and each["data"]["task"] == "density"
    ]
    assert [each["model"] for each in about] == [f"{BUILT_IN.model.title} {BUILT_IN.model.version}"]


def test_it_is_delivered_nowhere(site: LiveSite, study: str, tmp_path: Path) -> None:
    ((_, _, _, report),) = rows(site, study, shadow=False)
    with site.database() as database:
        delivered = database.execute(
            "select count(*) from delivery where study_instance_uid = %s and sop_instance_uid <> %s",
            [study, report],
        ).fetchall()
    assert delivered == [(0,)]
