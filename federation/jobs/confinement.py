"""What a job's process may not do, once it has loaded what it needs: connect, start others, signal, change files.

The kernel holds it to that: seccomp (Linux 3.17 and later) refuses the system calls with EPERM, resource limits bound
memory and time. It needs no privilege, and can't be undone by the process.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from archive.errors import Unavailable

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 1, 38, 22, 2
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF: ld abs, jeq, jge, jset, ret
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # places in seccomp_data
_X32 = 0x40000000
_SLACK = 30  # seconds after which a process ends itself, if nobody ended it
_NICE = 10  # below readings, and below what people wait for

# socket, connect, bind, listen, accept, accept4, io_uring_setup; execve, execveat, ptrace, process_vm_readv and writev;
# unlink(at), rename(at, at2), mkdir(at), rmdir, link(at), symlink(at), mknod(at), truncate, ftruncate, chmod,
# fchmod(at, at2), chown, fchown(at), utimensat, mount, umount2, setxattr, creat, openat2; fork, vfork; kill, tkill,
# rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal, pidfd_getfd
_REFUSED: dict[str, tuple[int, frozenset[int]]] = {
    "x86_64": (
        0xC000003E,
        frozenset(
            [41, 42, 49, 50, 43, 288, 425, 59, 322, 101, 310, 311]
            + [87, 263, 82, 264, 316, 83, 258, 84, 86, 265, 88, 266, 133, 259, 76, 77, 90, 91, 268, 452]
            + [92, 93, 94, 260, 280, 165, 166, 188, 85, 437, 57, 58, 62, 200, 129, 297, 424, 438]
        ),
    ),
    "aarch64": (
        0xC00000B7,
        frozenset(
            [198, 203, 200, 201, 202, 242, 425, 221, 281, 117, 270, 271]
            + [35, 38, 276, 34, 37, 36, 33, 45, 46, 52, 53, 452, 54, 55, 88, 40, 39, 5, 437]
            + [129, 130, 138, 240, 424, 438]
        ),
    ),
}


def limit(seconds: int, memory: int) -> None:
    """Bound time and, where it is not 0, data in MiB; end with whoever started this process; come behind others.

    Where memory runs out all the same, the kernel ends this process and not the site's others.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.alarm(seconds + _SLACK)
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory * 1024**2, memory * 1024**2))


def confine() -> None:
    """Give up connections, programs and changes of files for good, in all threads there are and will be.

    Raises Unavailable where the kernel does not hold to it: then nothing is run.
    """
    architecture, refused = _REFUSED.get(platform.machine(), (0, frozenset()))
    machine = platform.machine()
    opening, own = _OPENING.get(machine, {}), _OWN.get(machine, (0, 0))
    program = _program(architecture, sorted(refused), opening, _CLONE.get(machine, 0), own)
    libc = ctypes.CDLL(None, use_errno=True)
    filters = ctypes.create_string_buffer(program, len(program))
    given = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(filters)))
    is_confined = (
        bool(refused)
        and libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        and libc.syscall(ctypes.c_long(_SECCOMP[platform.machine()]), 1, 1, given) == 0
    )
    if not is_confined:
        raise Unavailable(
            "the kernel can't keep a job from the network: it needs seccomp, on x86-64 or ARM64"
        )


_OPENING = {"x86_64": {2: 1, 257: 2}, "aarch64": {56: 2}}
"""open(2) and openat(2), and the place of the flags among their arguments."""
_CLONE, _CLONE3, _THREAD = {"x86_64": 56, "aarch64": 220}, 435, 0x00010000
"""clone(2), clone3(2), and the flag CLONE_THREAD."""
_OWN = {"x86_64": (234, 302), "aarch64": (131, 261)}
"""tgkill(2), by which a program ends itself, and prlimit64(2): for this process, and for no other of its user."""
_SECCOMP = {"x86_64": 317, "aarch64": 277}
"""The system call seccomp(2), by which all threads are bound (SECCOMP_FILTER_FLAG_TSYNC)."""


def _program(
    architecture: int,
    refused: Sequence[int],
    opening: Mapping[int, int],
    clone: int,
    own: tuple[int, int],
) -> bytes:
    """BPF that refuses the numbers, and to open for anything but reading; what calls by other numbers is ended.

    `opening` are the calls that open files, with the place of their flags among their arguments.
    """
    blocks = [_of_opening(place) for place in opening.values()]
    more = len(refused)
    behind = [more + 1 + len(opening) - at + sum(map(len, blocks[:at])) for at in range(len(opening))]
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *_of_cloning(clone),
        *_of_itself(own[0], os.getpid()),
        *_of_itself(own[1], 0),
        (_AT_LEAST, more + len(opening) + 1, 0, _X32),
        *((_EQUAL, behind[at], 0, number) for at, number in enumerate(opening)),
        *((_EQUAL, more - place, 0, number) for place, number in enumerate(refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        *(step for block in blocks for step in block),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _of_cloning(clone: int) -> list[tuple[int, int, int, int]]:
    """Threads, and no processes, which would outlive the job.

    clone3 has its flags in memory, where a filter can't look; without it the C library calls clone.
    """
    return [
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_EQUAL, 0, 4, clone),
        (_LOAD, 0, 0, _ARGUMENTS),
        (_ANY_OF, 0, 1, _THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]


def _of_itself(number: int, itself: int) -> list[tuple[int, int, int, int]]:
    """A call whose first argument names a process, for that one alone."""
    return [
        (_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _ARGUMENTS),
        (_EQUAL, 0, 1, itself),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]


def _of_opening(place: int) -> list[tuple[int, int, int, int]]:
    flags = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    return [
        (_LOAD, 0, 0, _ARGUMENTS + 8 * place),
        (_ANY_OF, 1, 0, flags),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]
