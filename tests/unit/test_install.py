"""tools/install.sh laid out below a folder: what lies where, whose it is, and what an update and a return leave."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("systemd-sysusers", "systemd-tmpfiles"))),
    reason="needs root, systemd-sysusers and systemd-tmpfiles",
)
pytestmark = needs_root


class Host:
    """A folder that stands for a host, and a checkout that is installed there."""

    def __init__(self, folder: Path) -> None:
        self.root, self.checkout = folder / "root", folder / "checkout"
        self.program = self.root / "opt" / "senogate"
        self.home = self.root / "var" / "lib" / "senogate"
        (self.root / "etc").mkdir(parents=True)
        for name in ("deploy", "tools"):
            shutil.copytree(ROOT / name, self.checkout / name)
        shutil.copy(ROOT / "pyproject.toml", self.checkout)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.checkout / "tools" / "install.sh"), *arguments]
        environment = os.environ | {"DESTDIR": str(self.root)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def install(self, change: str = "") -> str:
        """The name of the release that runs then."""
        (self.checkout / "tools" / "change").write_text(change)
        done = self.run()
        assert done.returncode == 0, done.stderr
        return self.current

    @property
    def current(self) -> str:
        return (self.program / "current").resolve().name

    def group(self, name: str) -> int:
        lines = (self.root / "etc" / "group").read_text().splitlines()
        return next(int(line.split(":")[2]) for line in lines if line.split(":")[0] == name)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_program_units_and_settings_lie_where_they_belong(host: Host) -> None:
    assert host.install().startswith("0.1.0-")
    for path in (
        "opt/senogate/current/tools/setup.sh",
        "usr/local/lib/systemd/system/senogate.target",
        "usr/local/lib/systemd/system/senogate-.service.d/10-senogate.conf",
        "usr/local/bin/senogate",
        "etc/senogate/senogate.toml",
    ):
        assert (host.root / path).is_file(), path


@pytest.mark.parametrize(
    ("folder", "mode", "group"),
    [
        ("secrets", 0o2750, "senogate-secrets"),
        ("private", 0o2750, "senogate-private"),
        ("orthanc/storage", 0o2750, "senogate-storage"),
        ("spool", 0o2770, "senogate-spool"),
        ("models", 0o2770, "senogate-models"),
        ("audit", 0o2770, "senogate-worker"),
    ],
)
def test_a_folder_is_its_groups_and_nobody_elses(host: Host, folder: str, mode: int, group: str) -> None:
    host.install()
    found = (host.home / folder).stat()
    assert (found.st_mode & 0o7777, found.st_gid) == (mode, host.group(group))


def test_settings_that_are_there_are_the_sites(host: Host) -> None:
    host.install()
    settings = host.root / "etc" / "senogate" / "senogate.toml"
    settings.write_text("port = 8443\n")
    host.install("changed")
    assert settings.read_text() == "port = 8443\n"


def test_the_same_release_is_the_same_and_a_changed_one_lies_beside_it(host: Host) -> None:
    first = host.install()
    assert host.install() == first
    second = host.install("changed")
    assert second != first
    assert {path.name for path in (host.program / "releases").iterdir()} == {first, second}


def test_only_the_release_before_is_kept_and_it_comes_back(host: Host) -> None:
    releases = [host.install(change) for change in ("1", "2", "3")]
    assert {path.name for path in (host.program / "releases").iterdir()} == set(releases[1:])
    assert host.run("rollback").returncode == 0
    assert host.current == releases[1]
    assert (host.program / "previous").resolve().name == releases[2]


def test_uninstalling_leaves_what_the_site_holds_and_purging_nothing(host: Host) -> None:
    host.install()
    (host.home / "secrets" / "site.key").write_bytes(bytes(32))
    assert host.run("uninstall").returncode == 0
    assert (host.home / "secrets" / "site.key").exists()
    assert not host.program.exists()
    assert not list((host.root / "usr/local/lib/systemd/system").iterdir())
    assert host.run("uninstall", "--purge").returncode == 0
    assert not host.home.exists()


def test_what_else_lies_in_the_checkout_is_not_installed(host: Host) -> None:
    """Whoever is on the machine reads what is."""
    for name in ("secrets/database.url", "clinical/key.pem", "backup.key", "site/secrets/site.key"):
        path = host.checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
    host.install()
    assert {path.name for path in (host.program / "current").iterdir()} == {
        *("deploy", "tools", "pyproject.toml"),
        ".installed",
    }


def test_uninstalling_leaves_nothing_enabled(host: Host) -> None:
    host.install()
    wanted = host.root / "etc" / "systemd" / "system" / "multi-user.target.wants"
    wanted.mkdir(parents=True)
    (wanted / "senogate.target").symlink_to("/usr/local/lib/systemd/system/senogate.target")
    (wanted / "other.target").touch()
    assert host.run("uninstall").returncode == 0
    assert [path.name for path in wanted.iterdir()] == ["other.target"]


def test_an_unknown_argument_is_wrong_usage(host: Host) -> None:
    assert host.run("--frob").returncode == 2
