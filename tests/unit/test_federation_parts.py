"""What a node of a federation runs: Flower's programs as they are told to be, certificates and ports of loopback."""

import socket
import ssl
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from archive import federation_keys
from archive.errors import ConfigurationError, Unavailable
from archive.settings import Settings
from gateway.fleet import flower, loopback
from senogate.federation import parts
from senogate.federation.parts import Parts
from senogate.process import Program


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "home" / "logs").mkdir(parents=True)
    return Settings(home=tmp_path / "home")


class TestPorts:
    def test_they_are_chosen_once_and_kept(self, settings: Settings) -> None:
        chosen = flower.choose_ports(settings)
        assert flower.choose_ports(settings) == flower.read_ports(settings) == chosen
        assert len({chosen.relay, chosen.superlink, chosen.supernode}) == 3

    def test_one_that_another_program_has_now_is_chosen_anew(self, settings: Settings) -> None:
        chosen = flower.choose_ports(settings)
        with socket.create_server(("127.0.0.1", chosen.relay)):
            again = flower.choose_ports(settings)
        assert again.relay != chosen.relay and again.superlink == chosen.superlink

    def test_those_of_parts_that_run_stay(self, settings: Settings) -> None:
        chosen = flower.choose_ports(settings)
        with socket.create_server(("127.0.0.1", chosen.superlink)):
            assert flower.choose_ports(settings, running=["superlink"]) == chosen

    def test_of_several_that_choose_at_once_all_have_the_same(self, settings: Settings) -> None:
        together = threading.Barrier(4)

        def ask(_: int) -> flower.Ports:
            together.wait()
            return flower.ensure_ports(settings)

        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(ask, range(4)))) == 1

    def test_what_is_configured_is_taken(self, tmp_path: Path) -> None:
        assert flower.choose_ports(Settings(home=tmp_path, federation_relay_port=4567)).relay == 4567

    @pytest.mark.parametrize("kept", ["", "[]", "{}", '{"relay": 1}', "{"])
    def test_a_node_whose_parts_never_ran_has_none(self, settings: Settings, kept: str) -> None:
        settings.federation.mkdir()
        (settings.federation / flower.PORTS).write_text(kept)
        with pytest.raises(Unavailable):
            flower.read_ports(settings)


class TestLoopback:
    def test_a_part_trusts_its_nodes_own_and_no_other(self, settings: Settings, tmp_path: Path) -> None:
        files = loopback.ensure(settings)
        context = files.client_context()
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does
        assert shake_hands(files, context) == "TLSv1.3"
        (tmp_path / "other").mkdir()
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(loopback.ensure(Settings(home=tmp_path / "other")), context)

    def test_files_are_made_once_and_readable_by_the_owner_alone(self, settings: Settings) -> None:
        files = loopback.ensure(settings)
        before = files.certificate.read_bytes()
        assert loopback.ensure(settings, renew=True).certificate.read_bytes() == before
        assert {path.stat().st_mode & 0o777 for path in (files.key, files.certificate)} == {0o600}

    def test_old_ones_are_made_anew_at_a_start(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = loopback.ensure(settings).certificate.read_bytes()
        monkeypatch.setattr(loopback, "_OLD", -loopback.LIFETIME)
        assert loopback.ensure(settings).certificate.read_bytes() == before
        assert loopback.ensure(settings, renew=True).certificate.read_bytes() != before

    def test_without_files_nothing_is_trusted(self, settings: Settings) -> None:
        with pytest.raises(ConfigurationError):
            loopback.known(settings).client_context()


def shake_hands(files: loopback.Loopback, context: ssl.SSLContext) -> str | None:
    """The version of TLS that a client of this context and a part with these files speak."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(files.certificate, files.key)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            own.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with context.wrap_socket(ours, server_hostname="127.0.0.1") as connection:
            return connection.version()
    finally:
        thread.join()


class TestFlower:
    def test_it_is_told_nothing_of_proxies_and_none_of_its_own_variables_but_ours(
        self, settings: Settings
    ) -> None:
        given = {
            "FLWR_TELEMETRY_ENABLED": "1",
            "FLWR_OIDC_ENABLED": "1",
            "HTTPS_PROXY": "http://p",
            "PATH": "/bin",
        }
        told = flower.environment(settings, given)
        assert {name: value for name, value in told.items() if name.startswith("FLWR_")} == {
            "FLWR_HOME": f"{settings.home}/federation/flwr",
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        }
        assert told["NO_PROXY"] == "*" and told["PATH"].startswith(str(Path(sys.executable).parent))

    def test_the_superlink_listens_on_loopback_with_tls_and_knows_its_nodes(self, settings: Settings) -> None:
        pytest.importorskip("flwr")
        ports = flower.choose_ports(settings)
        command = flower.superlink_command(settings)
        assert command[command.index("--host") + 1] == "127.0.0.1"
        assert command[command.index("--port") + 1] == str(ports.superlink)
        assert {"--enable-supernode-auth", "--disable-runtime-dependency-installation"} <= set(command)
        assert "--ssl-certfile" in command and "--insecure" not in command

    def test_the_supernode_knows_the_relay_alone_and_runs_no_program(self, settings: Settings) -> None:
        pytest.importorskip("flwr")
        ports = flower.choose_ports(settings)
        with pytest.raises(ConfigurationError, match="join"):
            flower.supernode_command(settings)
        Path(settings.secrets).mkdir()
        federation_keys.make(settings)
        command = flower.supernode_command(settings)
        assert command[command.index("--superlink") + 1] == f"127.0.0.1:{ports.relay}"
        assert command[command.index("--isolation") + 1] == "process"
        secret = Path(command[command.index("--superexec-auth-secret-file") + 1])
        assert len(secret.read_bytes()) == 32 and secret.stat().st_mode & 0o777 == 0o600


class TestParts:
    @pytest.fixture
    def running(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Parts:
        """Whose programs only sleep."""
        monkeypatch.setattr(parts, "find_spec", lambda name: object())
        monkeypatch.setattr(
            parts, "Program", lambda name, command, environment, patience: Program(name, ["sleep", "60"])
        )
        settings.federation.mkdir()
        return Parts(settings)

    def test_a_node_of_no_federation_runs_none(self, running: Parts) -> None:
        assert running.follow() == [] and running.processes == []

    def test_they_come_with_the_file_and_go_with_it(self, running: Parts, settings: Settings) -> None:
        (settings.federation / "site.json").write_text("{}")
        assert running.follow() == ["starting relay", "starting supernode", "starting trainer"]
        assert all(each.is_running() for each in running.processes) and running.follow() == []
        (settings.federation / "site.json").unlink()
        assert running.follow() == ["ended trainer", "ended supernode", "ended relay"]

    def test_they_start_anew_where_the_file_is_another(self, running: Parts, settings: Settings) -> None:
        (settings.federation / "hub.json").write_text("{}")
        running.follow()
        before = [each.pid for each in running.processes]
        (settings.federation / "new").write_text("{ }")
        (settings.federation / "new").replace(settings.federation / "hub.json")
        running.follow()
        assert len(before) == 2 and not {each.pid for each in running.processes} & set(before)
        running.stop()

    def test_a_hub_that_becomes_a_site_too_keeps_its_superlink_where_it_listens(
        self, running: Parts, settings: Settings
    ) -> None:
        (settings.federation / "hub.json").write_text("{}")
        running.follow()
        port = flower.read_ports(settings).superlink
        with socket.create_server(("127.0.0.1", port)):
            (settings.federation / "site.json").write_text("{}")
            assert "starting relay" in running.follow()
        assert flower.read_ports(settings).superlink == port
        running.stop()

    def test_a_node_without_flower_says_so_once(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parts, "find_spec", lambda name: None)
        settings.federation.mkdir()
        (settings.federation / "hub.json").write_text("{}")
        lacking = Parts(settings)
        assert "setup-federation" in lacking.follow()[0] and lacking.follow() == []
