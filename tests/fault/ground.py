"""Where a site is put to break it: disks of its own that can be filled and locked, and a clock that can be moved.

What this machine does not allow (mounts, a compiler) is left out, and said: `missing` names it.
"""

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.live import LiveSite, find_free_ports, temporary_home

MIB = 1024**2
_HOME, _IMAGES = 1500 * MIB, 500 * MIB  # most that each disk holds; it lies in memory
_CLOCK = Path(__file__).with_name("clock.c")


class Disk:
    """A small disk of its own, or, where nothing may be mounted, a plain folder that is neither filled nor locked."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self._size = size
        folder.mkdir(mode=0o755)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(folder)]
        self.is_own = os.getuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0

    def close(self) -> None:
        if self.is_own:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self) -> None:
        """Leave no room: the disk is as large as what lies on it."""
        while not self._resize(self._used()):  # more was written meanwhile
            pass

    def empty(self) -> None:
        """Give back the room that `fill` took."""
        assert self._resize(self._size)

    def lock(self) -> None:
        """Make it read-only for whatever is opened from now on; what is open stays as it is."""
        for options in (["--bind"], ["--options", "remount,bind,ro"]):
            folders = [str(self.folder)] * (2 if options == ["--bind"] else 1)
            subprocess.run(["mount", *options, *folders], check=True)

    def unlock(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def _used(self) -> int:
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def _resize(self, size: int) -> bool:
        command = ["mount", "-o", f"remount,size={size}", str(self.folder)]
        return subprocess.run(command, capture_output=True).returncode == 0


class Clock:
    """The time of day of a site's processes; they alone see it move."""

    def __init__(self, folder: Path) -> None:
        self._file, library = folder / "clock", folder / "clock.so"
        self.move(0)
        self._file.chmod(0o644)
        compiler = shutil.which("cc")
        built = [compiler or "cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_CLOCK), "-ldl"]
        self.can_move = bool(compiler) and subprocess.run(built, capture_output=True).returncode == 0
        self.environment = (
            {"LD_PRELOAD": str(library), "FAULT_CLOCK": str(self._file)} if self.can_move else {}
        )

    def move(self, seconds: int) -> None:
        """Set it off from the true time, at once."""
        with open(self._file, "r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))


class Ground:
    """One running site, its two disks (everything else lies beside the images) and its clock."""

    def __init__(self, site: LiveSite, home: Disk, images: Disk, clock: Clock) -> None:
        self.site = site
        self.home, self.images, self.clock = home, images, clock

    @property
    def missing(self) -> frozenset[str]:
        """What this machine does not allow: `disks`, `clock`."""
        allowed = {"disks": self.home.is_own and self.images.is_own, "clock": self.clock.can_move}
        return frozenset(name for name, is_allowed in allowed.items() if not is_allowed)


@contextmanager
def ground() -> Iterator[Ground]:
    """A site that runs, on ground of its own; all is removed at the end."""
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_home()).parent
        home, images = Disk(folder / "disk", _HOME), Disk(folder / "images", _IMAGES)
        stack.callback(home.close)
        stack.callback(images.close)
        clock = Clock(folder)
        extra = {"SENOGATE_STORAGE": str(images.folder / "storage"), **clock.environment}
        site = LiveSite(home.folder / "home", find_free_ports(3), extra)
        stack.callback(site.stop)
        yield Ground(site.start(), home, images, clock)
