"""Two servers to put the standard's clauses to.

`gateway` is a gateway over an index with known, identified values, so that matching and returning can be told by value.
`site` (tests/conftest.py) is the whole of it, with Orthanc and its door. With `--server=orthanc` both are an Orthanc
with its own DICOMweb plugin, and the cases are those marked `standard`: their clauses bind any server.
"""

import asyncio
import inspect
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest
import uvicorn
from psycopg_pool import AsyncConnectionPool
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLosslessSV1

from archive import instances, secrets
from archive.dicom_json import read_instance
from archive.follow import orthanc_id
from archive.orthanc import Orthanc
from archive.policy import Role
from archive.pool import SESSION
from archive.reindexing import Reindexing
from archive.settings import Settings
from archive.tiers import Tiers
from archive.trail import Trail
from deidentification.stored import is_proven
from gateway import app, oauth
from gateway.transport import Server
from tests import databases
from tests.conformance.cases import is_standard
from tests.conformance.peer import Peer, serve_peer
from tests.live import LiveSite, find_free_ports
from tests.unit.dicom_files import compressed, dataset, part10, pixels, prove
from tests.unit.fake_site import DEIDENTIFIER, PROOF_KEY, FakeOrthanc

MG, US = "1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.5.1.4.1.1.6.1"
EXPLICIT = "1.2.840.10008.1.2.1"


def request_attributes(step: str) -> list[Dataset]:
    item = Dataset()
    item.ScheduledProcedureStepID = step
    item.RequestedProcedureID = "R" + step
    return [item]


def view_code(value: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "cranio-caudal"
    return [item]


def exams() -> list[bytes]:
    """Three studies: two women, mammograms of two views, a compressed ultrasound, one with nearly nothing."""
    jane = {
        "StudyInstanceUID": "1.1", "PatientID": "P1", "PatientName": "Doe^Jane^Ann", "PatientBirthDate": "19600102",
        "PatientSex": "F", "StudyDate": "20200110", "StudyTime": "101530.500", "AccessionNumber": "ACC1",
        "ReferringPhysicianName": "House^Gregory",
        "StudyDescription": "Screening 100%", "PatientAge": "060Y", "StudyID": "S1",
    }  # fmt: skip
    mammogram = jane | {
        "SOPClassUID": MG, "Modality": "MG", "SeriesInstanceUID": "1.1.1", "SeriesNumber": 1, "Manufacturer": "ACME",
        "PerformedProcedureStepStartDate": "20200110", "PerformedProcedureStepStartTime": "1015",
        "RequestAttributesSequence": request_attributes("SPS1"), "SeriesDescription": "Views",
    }  # fmt: skip
    first = mammogram | {
        "SOPInstanceUID": "1.1.1.1", "InstanceNumber": 1, "ViewPosition": "CC", "ImageType": ["ORIGINAL", "PRIMARY"],
        "KVP": "28.0", "AcquisitionDateTime": "20200110101545.5+0100", "ContentDate": "20200110", "ContentTime": "10",
        "ViewCodeSequence": view_code("399162004"),
    }  # fmt: skip
    second = mammogram | {
        "SOPInstanceUID": "1.1.1.2", "InstanceNumber": 2, "ICCProfile": b"\7" * 2000, "ImageLaterality": "R",
        "KVP": "28.5", "AcquisitionDateTime": "202001101017", "ContentDate": "20200110", "ContentTime": "233000",
    }  # fmt: skip
    ultrasound = jane | {"SOPClassUID": US, "Modality": "US", "SeriesInstanceUID": "1.1.2", "SeriesNumber": 2}
    mary = {
        "StudyInstanceUID": "1.2", "PatientID": "P2", "PatientName": "MÜLLER^Mary=山田^花子", "StudyDate": "20210620",
        "StudyTime": "2359", "AccessionNumber": "ACC2", "SpecificCharacterSet": "ISO_IR 192", "SOPClassUID": MG,
        "Modality": "MG", "SeriesInstanceUID": "1.2.1", "SeriesNumber": 1, "StudyID": "S_2",
    }  # fmt: skip
    bare = {
        "StudyInstanceUID": "1.3",
        "SeriesInstanceUID": "1.3.1",
        "SOPInstanceUID": "1.3.1.1",
        "PatientID": "",
    }
    frames = [[b"\xff\xd8abcd", b"efghij"], [b"\xff\xd8klmn", b"opqrst"]]
    return [
        part10(dataset(**first, **pixels(4, 6, 3, 16))),
        part10(dataset(**second, **pixels(5, 5))),
        part10(
            dataset(**ultrasound, SOPInstanceUID="1.1.2.1", **compressed(frames, table=False)),
            JPEGLosslessSV1,
        ),
        part10(dataset(**mary, SOPInstanceUID="1.2.1.1", **pixels(4, 4)), "1.2.840.10008.1.2"),
        part10(dataset(**bare)),
    ]


class _Places(Orthanc):
    """An Orthanc that knows the places of instances by their identifiers."""

    def __init__(self, places: dict[str, str]) -> None:
        self._places = places

    def places(self, instances: Sequence[str]) -> dict[str, str]:
        return {identifier: self._places[identifier] for identifier in instances}


@dataclass
class Gateway:
    """A gateway that answers over HTTP, and the bytes that lie behind it by SOP Instance UID."""

    settings: Settings
    token: str
    files: dict[str, bytes]
    paths: dict[str, Path]

    @property
    def dicomweb_url(self) -> str:
        return self.settings.dicomweb_url

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(
            base_url=self.settings.dicomweb_url, headers=headers, timeout=30, trust_env=False, verify=False
        )


Serve = Callable[[list[bytes]], AbstractContextManager["Gateway | Peer"]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each case tells its clause; to the peer go those marked `standard`, in which nothing is of our own."""
    for item in items:
        item.user_properties.append(("clause", clause_of(item)))
        if is_standard(item):
            item.user_properties.append(("standard", "yes"))
    if config.getoption("server") == "orthanc":
        config.hook.pytest_deselected(items=[item for item in items if not is_standard(item)])
        items[:] = filter(is_standard, items)


def clause_of(item: pytest.Item) -> str:
    """The first line of the case's own docstring, else of its class's or its module's."""
    for each in ("function", "cls", "module"):
        text = inspect.getdoc(getattr(item, each, None)) if getattr(item, each, None) else None
        if text:
            return text.splitlines()[0]
    return ""


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[LiveSite | Peer]:
    """A server to store on: the shared site, or an Orthanc."""
    if request.config.getoption("server") == "senogate":
        yield request.getfixturevalue("site")
        return
    with serve_peer([]) as made:
        yield made


@pytest.fixture(scope="session")
def gateway(serve_instances: Serve) -> Iterator["Gateway | Peer"]:
    """A gateway over the exams."""
    with serve_instances(exams()) as made:
        yield made


@pytest.fixture(scope="session")
def serve_instances(request: pytest.FixtureRequest) -> Serve:
    """A callable that serves instances."""
    is_peer = request.config.getoption("server") == "orthanc"
    return serve_peer if is_peer else request.getfixturevalue("serve_gateway")


@pytest.fixture(scope="session")
def serve_gateway(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """A callable that serves instances, past the door, over an index of its own on the shared site's PostgreSQL."""

    @contextmanager
    def serve(parts: list[bytes]) -> Iterator[Gateway]:
        home = tmp_path_factory.mktemp("gateway")
        address = databases.create(site.settings.database_url)
        settings = Settings(home=home, port=find_free_ports(1)[0], database_url=address)
        files, paths = fill(settings, parts)
        keys = oauth.SigningKeys.create(home / "signing.pem")
        secrets.write(home / "secrets" / secrets.SITE_KEY, bytes(32))
        stop = serve_in_thread(settings, keys)
        roles = [Role.ADMINISTRATOR]
        token = oauth.issue(keys, settings, subject="administrator", ttl=3600, roles=roles)
        yield Gateway(settings, token, files, paths)
        stop()

    return serve


def fill(settings: Settings, parts: list[bytes]) -> tuple[dict[str, bytes], dict[str, Path]]:
    """Index instances past the door: their bytes and their places, by SOP Instance UID."""
    files, paths, places = {}, {}, {}
    for exam in (prove(each, PROOF_KEY) for each in parts):
        uid, place = read_instance(exam).sop_instance_uid, str(uuid.uuid4())
        instances.write(settings.storage, place, exam)
        places[orthanc_id(read_instance(exam))] = place
        files[uid], paths[uid] = exam, instances.path(settings.storage, place)
    reindex(settings, places)
    return files, paths


def reindex(settings: Settings, places: dict[str, str], listed: Iterable[str] | None = None) -> None:
    """Index anew what lies at these places; Orthanc lists all of them, or those that it is said to."""
    proven = partial(is_proven, PROOF_KEY)
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        reindexing = Reindexing(connection, _Places(places), Tiers.of(settings), proven)
        reindexing.run(lambda: places if listed is None else listed, lambda _: None)


def serve_in_thread(settings: Settings, keys: oauth.SigningKeys) -> Callable[[], None]:
    """Run a gateway in a thread; a callable that ends it."""
    ready, box = threading.Event(), []

    async def serve() -> None:
        orthanc = httpx.AsyncClient(
            base_url="http://orthanc.test", transport=httpx.MockTransport(FakeOrthanc())
        )
        options = {"autocommit": True, **SESSION}
        async with (
            AsyncConnectionPool(settings.database_url, open=False, kwargs=options) as pool,
            aclosing(Trail(settings.database_url)) as trail,
        ):
            application = app.create(settings, pool, orthanc, keys, DEIDENTIFIER, trail)
            configuration = uvicorn.Config(application, port=settings.port, log_config=None, lifespan="off")
            box.append(Server(configuration, application.state.services.announcements.end))
            listening = asyncio.create_task(application.state.services.granted.listen(settings.database_url))
            await box[0].serve()
            listening.cancel()
            await application.state.services.memberships.aclose()
            await application.state.services.superlink.aclose()
            await application.state.services.upstream.aclose()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    for _ in range(600):
        if box and box[0].started:
            break
        ready.wait(0.05)

    def stop() -> None:
        box[0].should_exit = True
        thread.join(20)

    return stop


@pytest.fixture
def dicomweb(gateway: Gateway | Peer) -> Iterator[httpx.Client]:
    """A client with a token at the gateway's base URL."""
    with gateway.client() as client:
        yield client


@pytest.fixture(scope="module")
def anybody(gateway: Gateway) -> Iterator[httpx.Client]:
    """A client that says nothing of who it is."""
    from tests.conformance import catalogued

    with catalogued.anybody(gateway) as client:
        yield client


@pytest.fixture(scope="module")
def steward(gateway: Gateway) -> Iterator[httpx.Client]:
    """A program of somebody who keeps the site's datasets."""
    from tests.conformance import catalogued

    with catalogued.steward(gateway) as client:
        yield client
