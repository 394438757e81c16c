"""Real readings in a real model process: what it says, what it survives, and what ends it."""

import hashlib
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.findings import Findings, from_json
from inference import installed, nyu
from inference.errors import ModelProcessEnded
from inference.execution.host import Host
from inference.execution.messages import Reply
from inference.package import save
from inference.trust import trust
from tests.live import eventually
from tests.unit import networks
from tests.unit.mammograms import small_exam

BUILT_IN = Path(installed.__file__).parent / "models" / "phantom_density"
MEMORY = 3 * 1024**3


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("exam")
    for number, part in enumerate(small_exam()):
        (folder / f"{number}.dcm").write_bytes(part)
    return sorted(map(str, folder.iterdir()))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    home = tmp_path_factory.mktemp("home")
    trust(home, networks.KEY.public_key())
    options = {"--home": home, "--device": "cpu", "--readings": 2, "--memory": MEMORY}
    made = Host([str(one) for option in options.items() for one in option], seconds=60)
    yield made
    made.close()


def findings(reply: Reply) -> Findings:
    assert not reply.failure
    found = from_json(reply.answer)
    assert isinstance(found, Findings)
    return found


def test_a_study_is_read(host: Host, exam: list[str]) -> None:
    assert findings(host.read(str(BUILT_IN), exam)).evaluations[0].label == "b"


def test_the_log_names_each_instance_by_its_hash(host: Host, exam: list[str]) -> None:
    """Regulation (EU) 2024/1689 article 12: what was read, on what, and what took how long."""
    reply = host.read(str(BUILT_IN), exam)
    digests = {hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in exam}
    assert (set(reply.inputs.values()), reply.device) == (digests, "CPUExecutionProvider")
    assert {"decode", "preprocess", "network", "answer"} <= reply.parts.keys()


def test_a_study_that_is_none_is_no_failure_of_the_process(host: Host, exam: list[str]) -> None:
    host.read(str(BUILT_IN), exam)
    pid = host.pid
    assert "not_applicable" in host.read(str(BUILT_IN), exam[:1]).answer
    assert "damaged" in host.read(str(BUILT_IN), [*exam, __file__]).failure
    assert host.pid == pid


def test_a_network_that_wants_too_much_memory_fails_by_itself(
    host: Host, exam: list[str], tmp_path: Path
) -> None:
    hungry = networks.package(tmp_path / "hungry", networks.hungry())
    host.read(str(BUILT_IN), exam)
    pid = host.pid
    assert "memory" in host.read(str(hungry.folder), exam).failure
    assert findings(host.read(str(BUILT_IN), exam)) and host.pid == pid


def test_a_process_that_is_killed_amid_a_reading(host: Host, exam: list[str], tmp_path: Path) -> None:
    endless = networks.package(tmp_path / "endless", networks.endless())
    host.read(str(BUILT_IN), exam)
    pid = host.pid or 0
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(host.read, str(endless.folder), exam)
        eventually(lambda: host._process and host._process._waiting)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ModelProcessEnded, match="SIGKILL"):
            reading.result(30)
    assert findings(host.read(str(BUILT_IN), exam)) and host.pid != pid


def test_a_package_that_is_replaced_is_read_anew(host: Host, exam: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "package"
    shutil.copytree(BUILT_IN, folder)
    before = host.read(str(folder), exam)
    (folder / "model.onnx").write_bytes(b"something else")
    assert findings(before) and "sha256 differs" in host.read(str(folder), exam).failure


def test_a_package_of_nobody_that_the_site_trusts_is_not_run(
    host: Host, exam: list[str], tmp_path: Path
) -> None:
    stranger = save(
        tmp_path / "m", networks.hungry(), nyu._passport(published=True), Ed25519PrivateKey.generate()
    )
    assert "does not run" in host.read(str(stranger.folder), exam).failure


def test_memory_stays_flat(host: Host, exam: list[str]) -> None:
    def read(times: int) -> int:
        with ThreadPoolExecutor(2) as pool:
            for reply in pool.map(lambda _: host.read(str(BUILT_IN), exam), range(times)):
                assert reply.answer
        return int(Path(f"/proc/{host.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    before = read(100)
    assert read(200) - before < 24 * 1024**2
