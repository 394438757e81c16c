"""QIDO-RS and WADO-RS: the gateway against Orthanc's C++ DICOMweb plugin, same data, same run, same client.

python -m benchmarks.dicomweb [--studies N] [--seconds S]
"""

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.exams import write_studies
from benchmarks.ingest import ASSOCIATIONS
from benchmarks.load import put_load, request_bytes
from benchmarks.report import cpu_seconds, keep, percentiles
from benchmarks.servers import Server, peer, senogate
from senogate import scu
from tests.live import eventually, find_free_ports, temporary_home

_IDENTITY = {"Accept-Encoding": "identity"}
_DICOM = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
_JSON = {"Accept": "application/dicom+json"}
Plan = Callable[[int], tuple[str, dict[str, str]]]
OF_MANY = 64  # rows of the instances of the study that has two hundred, by which they are told from others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000, help="studies of four 256 x 256 instances")
    parser.add_argument("--gateways", type=int, default=1, help="gateway processes of Senogate")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--cases", default="", help="only those that have this in their names")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="senogate-bench-")))
        paths = write_studies(folder / "small", arguments.studies, 4, 256, 256)
        paths += write_studies(folder / "large", 1, 4, 3328, 2560)
        paths += write_studies(folder / "many", 1, 200, OF_MANY, 64)
        servers = [
            stack.enter_context(
                senogate(
                    stack.enter_context(temporary_home()), find_free_ports(3), gateways=arguments.gateways
                )
            ),
            stack.enter_context(peer(find_free_ports(2))),
        ]
        for server in servers:
            fill(server, paths, arguments.studies + 2)
        rows = [
            row
            for case in CASES
            if arguments.cases in case[0]
            for clients in (1, 8)
            for row in _compare(case, clients, servers, arguments.seconds)
        ]
    keep("dicomweb", rows)


def fill(server: Server, paths: list[Path], studies: int) -> None:
    """Store everything and wait until all of it can be found."""
    outcomes: list[scu.Outcome] = []
    scu.send(scu.find_items(paths), server.receiver, ASSOCIATIONS, outcomes.append)
    assert all(outcome.is_stored for outcome in outcomes)
    last = f"/studies?limit=1&offset={studies - 1}"
    eventually(lambda: server.dicomweb.get(last, headers=_JSON).text.startswith("[{"), 300)


def _ask(server: Server, path: str, headers: dict[str, str]) -> Any:
    answer = server.dicomweb.get(path, headers=headers)
    assert answer.status_code == 200, (path, answer.status_code)
    return answer


@cache  # nothing comes or goes while it is measured, and to ask for it takes the peer longer than a measurement
def _instances(server: Server) -> list[dict[str, Any]]:
    """Every instance as QIDO-RS tells it with its Rows, page by page."""
    found: list[dict[str, Any]] = []
    while page := _ask(server, f"/instances?limit=1000&offset={len(found)}&includefield=Rows", _JSON).json():
        found += page
        if len(page) < 1000:
            break
    return found


def _by_patient(server: Server) -> Plan:
    found = _ask(server, "/studies?limit=200", _JSON).json()
    patients = [study["00100020"]["Value"][0] for study in found]
    return lambda number: (f"/studies?PatientID={patients[number % len(patients)]}", _JSON)


def _of_study(large: bool) -> Callable[[Server], Plan]:
    def plan(server: Server) -> Plan:
        everything = _instances(server)
        rows = {study["0020000D"]["Value"][0]: study["00280010"]["Value"][0] for study in everything}
        studies = [uid for uid, height in rows.items() if height != OF_MANY and (height > 256) == large]
        return lambda number: (f"/studies/{studies[number % len(studies)]}", _DICOM)

    return plan


def _of_instance(large: bool, resource: str, kind: str) -> Callable[[Server], Plan]:
    """A resource below each of the instances in turn; a number in it makes each request one not met before."""
    beginnings = count(0, 2_300)

    def plan(server: Server) -> Plan:
        first = next(beginnings)
        everything = _instances(server)
        uids = ("0020000D", "0020000E", "00080018")
        found = [
            [each[name]["Value"][0] for name in uids]
            for each in everything
            if each["00280010"]["Value"][0] != OF_MANY and (each["00280010"]["Value"][0] > 256) == large
        ]
        paths = ["/studies/{}/series/{}/instances/{}".format(*each) for each in found]
        return lambda number: (
            f"{paths[number % len(paths)]}/"
            + resource.format(number=first + number, height=200 + (first + number) % 9_500),
            {"Accept": kind},
        )

    return plan


_OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
_JPEG = "image/jpeg"
_FRAMES = (
    ("WADO-RS frames/1, 128 KB", _of_instance(False, "frames/1", _OCTETS)),
    ("WADO-RS frames/1, 17 MB", _of_instance(True, "frames/1", _OCTETS)),
)
_PICTURES = (
    ("thumbnail, 256 x 256, new each time", _of_instance(False, "thumbnail?viewport=128,{height}", _JPEG)),
    ("thumbnail, 3328 x 2560, new each time", _of_instance(True, "thumbnail?viewport=128,{height}", _JPEG)),
    ("rendered, 256 x 256", _of_instance(False, "rendered?window=2048,4096.{number:06d},linear", _JPEG)),
    ("rendered, 3328 x 2560", _of_instance(True, "rendered?window=2048,4096.{number:06d},linear", _JPEG)),
    (
        "rendered, viewport 512 and window",
        _of_instance(True, "rendered?viewport=512,512&window=2048,4096.{number:06d},linear", _JPEG),
    ),
    ("rendered, 3328 x 2560, again", _of_instance(True, "rendered?window=2048,4096,linear", _JPEG)),
)


def _by_date(server: Server) -> Callable[[int], tuple[str, dict[str, str]]]:
    """Pages of a hundred studies since a day, each of them full."""
    found = _ask(server, "/studies?limit=1000", _JSON).json()
    days = sorted(study["00080020"]["Value"][0] for study in found)
    starts = days[: max(len(days) - 100, 1)]
    return lambda number: (f"/studies?StudyDate={starts[number * 37 % len(starts)]}-&limit=100", _JSON)


def _by_modality(server: Server) -> Callable[[int], tuple[str, dict[str, str]]]:
    return lambda number: (f"/studies?ModalitiesInStudy=MG&limit=50&offset={number * 37 % 900}", _JSON)


def _of_series(server: Server) -> Callable[[int], tuple[str, dict[str, str]]]:
    found = _ask(server, "/studies?limit=200", _JSON).json()
    studies = [study["0020000D"]["Value"][0] for study in found]
    rows = [_ask(server, f"/studies/{study}/series", _JSON).json()[0] for study in studies]
    series = [f"/studies/{row['0020000D']['Value'][0]}/series/{row['0020000E']['Value'][0]}" for row in rows]
    return lambda number: (f"{series[number % len(series)]}/instances", _JSON)


def _metadata(many: bool) -> Callable[[Server], Plan]:
    """That of each study of four instances in turn, or that of the one of two hundred."""

    def plan(server: Server) -> Plan:
        everything = _instances(server)
        rows = {each["0020000D"]["Value"][0]: each["00280010"]["Value"][0] for each in everything}
        studies = [uid for uid, height in rows.items() if (height == OF_MANY) == many]
        return lambda number: (f"/studies/{studies[number % len(studies)]}/metadata", _JSON)

    return plan


CASES = (
    ("QIDO-RS studies?PatientID", _by_patient),
    ("QIDO-RS studies?StudyDate range, 100", _by_date),
    ("QIDO-RS studies?ModalitiesInStudy page, 50", _by_modality),
    ("QIDO-RS instances of a series", _of_series),
    ("WADO-RS metadata, 4 instances", _metadata(False)),
    ("WADO-RS metadata, 200 instances", _metadata(True)),
    ("WADO-RS study, 4 instances, 0.5 MB", _of_study(False)),
    ("WADO-RS study, 4 instances, 68 MB", _of_study(True)),
    *_FRAMES,
    *_PICTURES,
)


def _compare(case: Any, clients: int, servers: list[Server], seconds: float) -> list[dict[str, Any]]:
    name, plan = case
    rows = [
        {"case": name, "clients": clients, "server": each.name} | measure(each, plan(each), clients, seconds)
        for each in servers
    ]
    rows[0]["ratio"] = round(rows[0]["requests_per_s"] / rows[1]["requests_per_s"], 2)
    rows[0]["cpu_ratio"] = round(rows[0]["cpu_ms_per_request"] / rows[1]["cpu_ms_per_request"], 3)
    return rows


def measure(server: Server, request: Callable[[int], Any], clients: int, seconds: float) -> dict[str, float]:
    """Ask for `seconds` with `clients` at once, after one request each to warm up."""
    base = server.dicomweb.base_url
    own = {name: value for name, value in server.dicomweb.headers.items() if name == "authorization"}

    def wire(number: int) -> bytes:
        path, headers = request(number)
        return request_bytes(base.host, f"{base.path.rstrip('/')}{path}", own | _IDENTITY | headers)

    for number in range(clients):
        _ask(server, *request(number))
    before = cpu_seconds(server.processes())
    answers, wall = put_load((base.host, base.port or 80), wire, clients, seconds)
    cpu = cpu_seconds(server.processes()) - before
    waits = [wait for each in answers for wait in each.waits]
    return {
        "requests_per_s": round(len(waits) / wall, 1),
        "mb_per_s": round(sum(each.received for each in answers) / wall / 1e6, 1),
        **percentiles(waits),
        "cpu_ms_per_request": round(1000 * cpu / len(waits), 2),
    }


if __name__ == "__main__":
    main()
