"""Which files a job's process may open: Landlock (Linux 5.13 and later) holds it to that.

A rule is of a folder and all below it, or of a file. It needs no privilege, can't be undone, and holds for every thread
and process that is begun afterwards; so it is made before the first library begins threads, and narrowed once the
job's files are known. Under it the memory and the environment of other processes can't be read either.
"""

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, the same on every architecture
_VERSION, _PATH_BENEATH = 1, 1
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_EXECUTE, _READ_FILE, _READ_DIR = 1, 4, 8  # LANDLOCK_ACCESS_FS_*
_ALL = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
"""What there is to be held to of files, by the version of the kernel's interface."""
_NEWEST = 0xFFFF
_NETWORK, _SCOPED = 3, 3  # bind and connect; abstract sockets and signals
_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/urandom"),
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system"),
)
"""What libraries read to be loaded and to know the machine."""


def version() -> int:
    """Of the kernel's interface; 0 where it has none, or it was not enabled."""
    return max(0, _libc().syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION)))


def allow_only(paths: Iterable[str | Path]) -> bool:
    """Let this thread, and those it begins, read these files and folders, the program's and the system's, and no more.

    What is not there is left out. False where the kernel can't hold it to that.
    """
    known = version()
    if not known:
        return False
    access = _ALL.get(known, _NEWEST)
    rules = struct.pack("QQQ", access, _NETWORK if known >= 4 else 0, _SCOPED if known >= 6 else 0)
    size = 8 if known < 4 else 16 if known < 6 else 24
    libc = _libc()
    held = libc.syscall(_CREATE, rules, ctypes.c_size_t(size), ctypes.c_uint32(0))
    if held < 0:
        return False
    try:
        for path in (*_SYSTEM, *_program(), *paths):
            _allow(libc, held, path)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(libc.syscall(_RESTRICT, held, ctypes.c_uint32(0)) == 0)
    finally:
        os.close(held)


def hide() -> None:
    """Let no other process of the same user read this one's memory or environment, and no core of it be written."""
    _libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _program() -> Iterator[str]:
    """The interpreter, its libraries and this program, wherever they are imported from."""
    yield from {sys.prefix, sys.base_prefix, sys.exec_prefix}
    house = Path(__file__).resolve().parents[2]
    yield from (str(house / name) for name in ("archive", "deidentification", "federation", "inference"))


def _allow(libc: ctypes.CDLL, held: int, path: str | Path) -> None:
    try:
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        wanted = _READ_FILE | _EXECUTE
        if stat.S_ISDIR(os.fstat(file).st_mode):
            wanted |= _READ_DIR
        libc.syscall(_ADD, held, _PATH_BENEATH, struct.pack("=Qi", wanted, file), ctypes.c_uint32(0))
    finally:
        os.close(file)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
