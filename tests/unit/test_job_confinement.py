"""What a job's process can't do any more once it is confined (federation.jobs.confinement), and how it ends."""

import os
import struct
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path

import pytest

from archive.errors import BadRequest
from federation.jobs import child, files
from federation.jobs.child import ChildEnded
from federation.jobs.messages import LARGEST, Order, Work, read_order, receive, send_order
from federation.training.task import Label, Mark
from inference.installed import BUILT_IN
from tests.federation.exams import draw_exams, write_exams

TRY = """
import ctypes, os, platform, resource, socket, subprocess, sys, threading
from federation.jobs.confinement import _OWN, confine
path = sys.argv[1]
def end_thread(pid):
    if ctypes.CDLL(None).syscall(_OWN[platform.machine()][0], pid, pid, 0):
        raise PermissionError
confine()
tried = {
    "read": lambda: open(path).read(),
    "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
    "local": lambda: socket.socket(socket.AF_UNIX),
    "program": lambda: subprocess.run(["/bin/true"]),
    "write": lambda: open(path, "a"),
    "create": lambda: open(path + ".new", "x"),
    "remove": lambda: os.unlink(path),
    "rename": lambda: os.rename(path, path + ".new"),
    "shorten": lambda: os.truncate(path, 0),
    "folder": lambda: os.mkdir(path + ".d"),
    "mode": lambda: os.chmod(path, 0o777),
    "link": lambda: os.symlink(path, path + ".l"),
    "thread": lambda: [each.start() or each.join() for each in [threading.Thread(target=len, args=[""])]],
    "process": lambda: os.fork() or os._exit(0),
    "signal": lambda: os.kill(os.getppid(), 0),
    "signal to a thread": lambda: end_thread(os.getppid()),
    "limit": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU),
    "itself": lambda: (end_thread(os.getpid()), resource.prlimit(0, resource.RLIMIT_CPU)),
}
for name in tried:
    try:
        tried[name]()
    except PermissionError:
        continue
    print(name)
"""


def test_it_can_read_and_begin_threads_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("content")
    done = subprocess.run([sys.executable, "-c", TRY, str(path)], capture_output=True, text=True)
    assert (done.stdout.split(), done.returncode) == (["read", "thread", "itself"], 0), done.stderr
    assert path.read_text() == "content" and list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def exams(tmp_path_factory: pytest.TempPathFactory) -> list[Work]:
    """Two small exams, of a label each."""
    drawn = draw_exams("alpha", "ad")
    folder = tmp_path_factory.mktemp("exams")
    write_exams(folder, drawn)
    return [
        Work(
            [str(path) for path in sorted(folder.glob(f"{one.study_instance_uid}-*"))],
            Label("csv", one.category),
        )
        for one in drawn
    ]


def test_a_package_is_evaluated_in_it(exams: list[Work]) -> None:
    """By ONNX Runtime on the CPU: loaded, warmed up and run behind the confinement."""
    looked: list[int] = []
    told = child.work(Order(exams), looked.append, folder=str(BUILT_IN / "phantom_density"), seconds=120)
    assert [sorted(one or {}) for one in told] == [
        ["answers, negative", "negative"],
        ["answers, positive", "positive"],
    ]
    assert looked[-1] == 2


def test_features_are_measured_in_it(
    exams: list[Work], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exam that can't be read tells nothing; and it has nothing of the worker's environment."""
    monkeypatch.setenv("SENOGATE_DATABASE_URL", "postgresql://secret")
    (tmp_path / "damaged.dcm").write_bytes(b"PatientName=Doe")
    broken = Work([str(tmp_path / "damaged.dcm"), str(tmp_path / "absent.dcm")])
    environments: list[bytes] = []
    order = Order([exams[0], broken, exams[1]], ["breast_area", "brightness", "bright_fraction"])
    fatty, none, dense = child.work(order, lambda _: environments.extend(_environments("123")), seconds=123)
    assert none is None and fatty is not None and dense is not None
    assert 0 < fatty["breast_area"] < 500
    assert 0 < fatty["bright_fraction"] < 1 and 0 < dense["brightness"] < 1
    assert environments and not any(b"SENOGATE" in one for one in environments)


def _environments(seconds: str) -> list[bytes]:
    """Of the processes of jobs that may take so long."""
    found = [
        path for path in Path("/proc").glob("[0-9]*/cmdline") if seconds.encode() in _read(path).split(b"\0")
    ]
    return [_read(path.parent / "environ") for path in found if child.MODULE.encode() in _read(path)]


def test_what_is_no_package_is_refused_by_it(tmp_path: Path, exams: list[Work]) -> None:
    with pytest.raises(BadRequest):
        child.work(Order(exams), lambda _: None, folder=str(tmp_path), seconds=120)


def test_who_looks_may_end_it(exams: list[Work]) -> None:
    def refuse(done: int) -> None:
        raise BadRequest("no more")

    with pytest.raises(BadRequest, match="no more"):
        child.work(Order(exams, ["breast_area"]), refuse, seconds=120)


def test_one_that_takes_too_long_or_too_much_has_ended(exams: list[Work]) -> None:
    with pytest.raises(ChildEnded, match="longer"):
        child.work(Order(exams, ["breast_area"]), lambda _: None, seconds=0)
    with pytest.raises(ChildEnded):
        child.work(Order(exams, ["breast_area"]), lambda _: None, seconds=120, memory=8)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_marks_go_there_whole() -> None:
    ours, theirs = Pipe()
    order = Order(
        [Work(["/a"], Label("csv", "b", (Mark(("L", "CC"), "mass", (1.0, 2.0, 3.0, 4.0)),)))], ["age"]
    )
    send_order(ours, order)
    assert read_order(theirs) == order


@pytest.mark.parametrize(
    "sent",
    [
        b"[]", b"{}", b"7", b'{"Answer": {}}', b'{"Answer": {"told": [1]}}', b'{"Answer": {"told": {"age": NaN}}}',
        b'{"Answer": {"told": {"age": 1e400}}}', b'{"Answer": {"told": {"age": "Doe"}}}', b"[" * 100_000,
        b'{"Answer": {"told": {"negative": {"Doe": 1}}}}', b'{"Failure": {"kind": 1, "message": []}}',
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_answer_ends_the_job(sent: bytes) -> None:
    """A package that took its process over can't have the worker stumble and begin again for ever."""
    ours, theirs = Pipe()
    theirs.send_bytes(sent)
    with pytest.raises(ValueError):
        receive(ours)


def test_an_answer_has_an_end() -> None:
    ours, theirs = Pipe()
    os.write(theirs.fileno(), struct.pack("!i", LARGEST + 1))
    with pytest.raises(OSError):
        receive(ours)


def test_what_ends_it_is_told_without_values() -> None:
    script = (
        "import sys; from federation.jobs import process\n"
        "def serve(*_): raise ValueError('PatientName=Doe')\n"
        "process.serve = serve; process.main()"
    )
    ours, theirs = Pipe()
    arguments = [sys.executable, "-c", script, str(theirs.fileno())]
    done = subprocess.run(arguments, pass_fds=[theirs.fileno()], capture_output=True, text=True)
    assert "ValueError at" in done.stderr and "Doe" not in done.stderr


def test_it_ends_first_where_memory_runs_out() -> None:
    """proc(5): of all processes that with the highest oom_score_adj; 1000 is the highest there is."""
    script = (
        "from federation.jobs.confinement import limit\n"
        "limit(60, 0)\n"
        "print(open('/proc/self/oom_score_adj').read())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "1000", done.stderr


OPEN = """
import os, sys
from federation.jobs import files
allowed, other, parent = sys.argv[1:]
print(files.allow_only([allowed]))
files.hide()
import numpy  # what is imported later is still there
for path in (allowed, other, f"/proc/{parent}/environ", "/etc/hostname"):
    try:
        open(path, "rb").read()
    except PermissionError:
        continue
    print(path)
"""


@pytest.mark.skipif(not files.version(), reason="this kernel has no Landlock")
def test_it_reads_the_files_of_its_job_and_no_other(tmp_path: Path) -> None:
    """landlock(7): a rule is of a file, or of a folder and all below it. The worker's environment is a file, too."""
    allowed, other = tmp_path / "images", tmp_path / "secrets" / "site.key"
    for path in (allowed, other.parent):
        path.mkdir()
    (allowed / "one").write_text("pixels")
    other.write_text("key")
    arguments = [str(allowed / "one"), str(other), str(os.getpid())]
    done = subprocess.run([sys.executable, "-c", OPEN, *arguments], capture_output=True, text=True)
    assert done.stdout.split() == ["True", str(allowed / "one")], done.stderr


@pytest.mark.skipif(not files.version(), reason="this kernel has no Landlock")
def test_a_job_reads_no_image_but_its_own(exams: list[Work]) -> None:
    """A folder of images holds those of others, too: rules are of files once they are known."""
    script = (
        "import sys; from federation.jobs import process, serving\n"
        "def confine():\n"
        "    for path in sys.argv[2:4]:\n"
        "        try: print(bool(open(path, 'rb').read()), flush=True)\n"
        "        except PermissionError: print('refused', flush=True)\n"
        "    raise SystemExit\n"
        "serving.confine = confine; process.main()"
    )
    (own, *_), (another, *_) = exams[0].paths, exams[1].paths
    ours, theirs = Pipe()
    send_order(ours, Order([exams[0]]))
    arguments = [sys.executable, "-c", script, str(theirs.fileno()), "--images", str(Path(own).parent)]
    code = script.replace("sys.argv[2:4]", repr([own, another]))
    arguments[2] = code
    done = subprocess.run(arguments, pass_fds=[theirs.fileno()], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "refused"], done.stderr
