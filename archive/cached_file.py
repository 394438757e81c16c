"""Files read without waiting for a disk: what lies in the kernel's memory, and nothing else.

An event loop may do this itself, where a thread would cost more than the bytes do. Whatever the kernel or the file
system does not know how to do here is as if it were not in memory.
"""

import ctypes
import os
import sys

_OPENAT2 = 437  # the number of the system call, the same on all processors
_AT_FDCWD = -100
_RESOLVE_CACHED = 0x20  # Linux 5.12


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_HOW = _OpenHow(os.O_RDONLY | os.O_CLOEXEC, 0, _RESOLVE_CACHED)
_syscall = ctypes.PyDLL(None).syscall if sys.platform == "linux" else None


def open_cached(path: str | os.PathLike[str]) -> int | None:
    """A descriptor to read the file with; None where there is none, or the disk would have to be asked for it."""
    if _syscall is None:
        return None
    name = ctypes.c_char_p(os.fsencode(path))
    descriptor = _syscall(_OPENAT2, _AT_FDCWD, name, ctypes.byref(_HOW), ctypes.c_size_t(ctypes.sizeof(_HOW)))
    return descriptor if descriptor >= 0 else None


def read_cached(descriptor: int, length: int, offset: int) -> bytes | None:
    """The bytes; None where not all of them are there."""
    buffer = bytearray(length)
    try:
        count = os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
    except OSError:
        return None
    return bytes(buffer) if count == length else None
