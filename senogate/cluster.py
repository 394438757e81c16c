"""A private PostgreSQL cluster below the site's home: made when it is first needed, reached by its socket alone."""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from archive.errors import ConfigurationError
from archive.settings import Settings

_BINARIES = Path("/usr/lib/postgresql")
_DATA = "postgresql"
_LONGEST_SOCKET_FOLDER = 90  # bytes; the address of a Unix socket holds 107
_OPTIONS = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "128MB",
    "log_min_error_statement": "panic",  # statements are kept out of the log
    "log_parameter_max_length_on_error": "0",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the cluster lies and who runs it. PostgreSQL refuses to run as root, so root runs it as `postgres`."""

    data: Path
    socket_folder: Path
    user: str | None

    @property
    def database_url(self) -> str:
        return f"postgresql://senogate@/postgres?host={quote(str(self.socket_folder))}"

    def create(self) -> None:
        """Make the cluster unless it is there: whole, or not at all. Raises ConfigurationError."""
        self._make_private(self.socket_folder, shared=True)
        if (self.data / "PG_VERSION").exists():
            self._make_private(self.data)
            return
        part = self.data.with_name(f".{self.data.name}.part")
        if part.exists():  # of a start that was cut short
            shutil.rmtree(part)
        self._make_private(part)
        made = self._run("initdb", "--pgdata", str(part), "--username=senogate", "--auth-local=trust",
                         "--auth-host=reject", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums")  # fmt: skip
        if made.returncode:
            raise ConfigurationError(f"initdb failed: {made.stderr.strip().splitlines()[-1]}")
        part.rename(self.data)

    def command(self) -> list[str]:
        """What runs the cluster in the foreground; SIGINT ends it in order."""
        options = _OPTIONS | {"unix_socket_directories": str(self.socket_folder)}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [*self._as_user(), str(self.binary("postgres")), "-D", str(self.data), *settings]

    def _make_private(self, folder: Path, *, shared: bool = False) -> None:
        """A folder that is the cluster's user's and nobody else's; a shared one is that of who runs the site, too.

        Processes of root that gave its capabilities up (senogate/process.py) get through as the owner.
        """
        for parent in reversed(folder.parents):
            if not parent.exists():
                parent.mkdir()
                parent.chmod(0o755)  # whatever the umask: the cluster's user has to get through
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = pwd.getpwnam(self.user).pw_uid if self.user else os.getuid()
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.getuid()):
            raise ConfigurationError(
                f"{folder} belongs to another user: run as that one, or choose another SENOGATE_HOME"
            )
        if owner != os.getuid():
            shutil.chown(folder, os.getuid() if shared else owner, pwd.getpwuid(owner).pw_gid)
        folder.chmod(0o770 if shared and owner != os.getuid() else 0o700)

    def _as_user(self) -> list[str]:
        return (
            ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"] if self.user else []
        )

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self._as_user(), str(self.binary(program)), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)

    def binary(self, program: str) -> Path:
        """The program of the version that made the cluster, or of the newest one installed."""
        installed = sorted(
            (path for path in _BINARIES.glob("*") if path.name.isdigit()), key=lambda path: int(path.name)
        )
        marker = self.data / "PG_VERSION"
        wanted = [_BINARIES / marker.read_text().strip()] if marker.exists() else installed[-1:]
        if not wanted or not (wanted[0] / "bin" / program).exists():
            version = wanted[0].name if wanted else "15 or newer"
            raise ConfigurationError(f"PostgreSQL {version} is not installed: apt-get install postgresql")
        return wanted[0] / "bin" / program


def locate(home: Path) -> Cluster:
    """The cluster of the site in `home`; beside it, in /var/lib, where PostgreSQL's user can't reach the home.

    One that is there stays where it is, whatever becomes of the home's mode.
    """
    mark = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    user = "postgres" if os.getuid() == 0 else None
    beside = Path("/var/lib/senogate", mark)
    if user is None or (home / _DATA).exists():
        place = home
    else:
        place = beside if (beside / _DATA).exists() or not _reaches(user, home) else home
    socket_folder = place / "run"
    if len(bytes(socket_folder)) > _LONGEST_SOCKET_FOLDER:
        socket_folder = Path("/tmp", f"senogate-{mark}")  # noqa: S108 - made private, its owner checked
    return Cluster(place / _DATA, socket_folder, user)


def complete(settings: Settings) -> Settings:
    """The settings with the address of the private cluster, where no other database is configured."""
    return (
        settings
        if settings.database_url
        else replace(settings, database_url=locate(settings.home).database_url)
    )


def _reaches(user: str, folder: Path) -> bool:
    """Whether a user can get to a folder, or to where it will be made."""
    while not folder.exists():
        folder = folder.parent
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise ConfigurationError("PostgreSQL is not installed: apt-get install postgresql") from None
    try:
        command = ["test", "-x", str(folder)]
        asked = subprocess.run(
            command, cwd="/", user=account.pw_uid, group=account.pw_gid, extra_groups=[], check=False
        )
        return asked.returncode == 0
    except PermissionError:
        return False
