"""TLS, client certificates, the proxy in front, and clients that are slow or say too much."""

import asyncio
import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

import anyio
import httpx
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from archive.errors import ConfigurationError, RequestTimeout
from archive.settings import Settings
from gateway import oauth, transport
from gateway.crowding import Crowding
from gateway.problem import HANDLERS, LastResort
from gateway.transport import PatientBody, Protocol, TrustedProxies, certificate_of, thumbprint
from senogate.parts import tls_options
from tests import certificates
from tests.certificates import Certificate
from tests.live import eventually, find_free_ports
from tests.unit import fake_site


async def echo(scope, receive, send):
    """Tells what the application is told of the client."""
    content = {"client": scope["client"][0], "scheme": scope["scheme"], "certificate": certificate_of(scope)}
    await JSONResponse(content)(scope, receive, send)


@contextmanager
def serving(application, settings: Settings) -> Iterator[int]:
    """The application on a free port, as a gateway is served; the port."""
    port = find_free_ports(1)[0]
    options = uvicorn.Config(
        application, port=port, http=Protocol, proxy_headers=False, lifespan="off", log_config=None,
        **tls_options(settings),
    )  # fmt: skip
    server = uvicorn.Server(options)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.02)
    yield port
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder) -> Certificate:
    return certificates.make(folder, "authority")


@pytest.fixture(scope="module")
def program(folder, authority) -> Certificate:
    return certificates.make(folder, "program", authority)


@pytest.fixture(scope="module")
def secured(folder, authority) -> Settings:
    server = certificates.make(folder, "server", authority)
    return Settings(
        home=folder, tls_certificate=str(server.path), tls_key=str(server.key_path),
        tls_client_authorities=str(authority.path),
    )  # fmt: skip


@pytest.fixture(scope="module")
def ask(secured, authority) -> Iterator[Callable[..., httpx.Response]]:
    """A callable that asks over TLS, with a client's certificate or without."""
    with serving(echo, secured) as port:

        def get(shown: Certificate | None = None) -> httpx.Response:
            context = ssl.create_default_context(cafile=str(authority.path))
            if shown:
                context.load_cert_chain(shown.path, shown.key_path)
            return httpx.get(f"https://127.0.0.1:{port}/", verify=context, trust_env=False)

        yield get


class TestTLS:
    def test_a_client_without_a_certificate_is_served(self, ask):
        assert ask().json() == {"client": "127.0.0.1", "scheme": "https", "certificate": None}

    def test_a_certificate_that_is_shown_is_known_by_its_thumbprint(self, ask, program):
        """RFC 8705 section 3.1."""
        assert ask(program).json()["certificate"] == thumbprint(program.der)

    def test_one_of_another_authority_is_not_taken(self, ask, folder):
        stranger = certificates.make(folder, "stranger", certificates.make(folder, "another-authority"))
        with pytest.raises(httpx.TransportError):
            ask(stranger)

    def test_a_certificate_that_is_renewed_is_shown_to_new_connections(self, folder, authority, monkeypatch):
        monkeypatch.setattr(transport, "RENEWAL_INTERVAL", 0.02)
        first, second = (certificates.make(folder, name, authority) for name in ("renewed", "newer"))
        settings = Settings(home=folder, tls_certificate=str(first.path), tls_key=str(first.key_path))
        loaded, context = [], ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", lambda self, *files: loaded.append(files))

        async def renew():
            renewal = asyncio.create_task(transport.renew_certificate(context, settings))
            await asyncio.sleep(0)
            first.path.write_text(second.pem)
            while not loaded:
                await asyncio.sleep(0.01)
            renewal.cancel()

        anyio.run(renew)
        assert loaded == [(settings.tls_certificate, settings.tls_key)]

    def test_files_that_are_none_are_named(self, tmp_path):
        (tmp_path / "x").write_text("x")
        settings = Settings(home=tmp_path, tls_certificate="x", tls_key="x")
        with pytest.raises(ConfigurationError, match="tls_certificate"):
            tls_options(settings)

    def test_plain_http_is_not_answered(self, secured):
        with serving(echo, secured) as port, pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
    def test_old_versions_are_refused(self, secured, version):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        with serving(echo, secured) as port, pytest.raises(httpx.TransportError):
            httpx.get(f"https://127.0.0.1:{port}/", verify=context, trust_env=False)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"tls_certificate": "x"},
            {"tls_key": "x"},
            {"tls_client_authorities": "x"},
            {"trusted_proxies": "*"},
        ],
    )
    def test_half_a_configuration_is_refused(self, tmp_path, wrong):
        with pytest.raises(ConfigurationError):
            Settings(home=tmp_path, **wrong)


class TestBoundTokens:
    """RFC 8705 section 3."""

    @pytest.fixture
    def site(self, tmp_path):
        """One for each test: who is refused often is refused with 429."""
        settings = {"trusted_proxies": "127.0.0.0/8", "client_certificate_header": "Client-Cert"}
        return fake_site.build(tmp_path, **settings)

    def ask(self, site, bound_to, *shown):
        token = oauth.issue(site.keys, site.settings, subject="p", thumbprint=thumbprint(bound_to.der))
        headers = [("authorization", f"Bearer {token}"), *(("client-cert", value) for value in shown)]
        return site.client.get("/dicom-web/studies", headers=headers).status_code

    def test_with_its_certificate_it_is_accepted(self, site, program):
        """503: there is no database behind."""
        value = f":{base64.b64encode(program.der).decode()}:"
        assert self.ask(site, program, value) == 503

    def test_the_certificate_may_come_as_nginx_escapes_it(self, site, program):
        assert self.ask(site, program, quote(program.pem, safe="")) == 503

    @pytest.mark.parametrize("value", ["", "::", ":AAAA:", ":!:", "-----BEGIN CERTIFICATE-----", "é"])
    def test_without_it_it_is_refused(self, site, program, value):
        assert self.ask(site, program, value.encode()) == 401
        assert self.ask(site, program) == 401

    def test_with_two_certificates_it_is_refused(self, site, program, authority):
        values = [f":{base64.b64encode(each.der).decode()}:" for each in (program, authority)]
        assert self.ask(site, program, *values) == 401

    def test_a_header_of_anybody_else_proves_nothing(self, tmp_path, program):
        site = fake_site.build(tmp_path, trusted_proxies="10.0.0.1", client_certificate_header="Client-Cert")
        assert self.ask(site, program, f":{base64.b64encode(program.der).decode()}:") == 401

    def test_a_token_that_is_remembered_is_bound_all_the_same(self, site, program):
        value = f":{base64.b64encode(program.der).decode()}:"
        token = oauth.issue(site.keys, site.settings, subject="p", thumbprint=thumbprint(program.der))
        headers = {"authorization": f"Bearer {token}"}
        assert (
            site.client.get("/dicom-web/studies", headers=headers | {"client-cert": value}).status_code == 503
        )
        assert site.client.get("/dicom-web/studies", headers=headers).status_code == 401


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: f":{base64.b64encode(data).decode()}:"))
def test_no_header_makes_the_reading_of_a_certificate_fail(value):
    found = transport._certificate(value.encode("utf-8").decode("latin-1"))
    assert found is None or isinstance(found, bytes)


class TestProxies:
    """What is believed of X-Forwarded-For, and of whom."""

    def told(self, peer: str, headers: dict[str, str], trusted: str) -> dict:
        application = TrustedProxies(echo, Settings(home=Path("/x"), trusted_proxies=trusted))

        async def send() -> dict:
            behind = httpx.ASGITransport(application, client=(peer, 1))
            async with httpx.AsyncClient(transport=behind, base_url="http://x.test") as client:
                return (await client.get("/", headers=headers)).json()

        return anyio.run(send)

    @pytest.mark.parametrize(
        ("peer", "forwarded", "client"),
        [
            ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
            ("10.0.0.1", "203.0.113.9, 192.0.2.7", "192.0.2.7"),
            ("10.0.0.1", "192.0.2.7, 10.0.0.2", "192.0.2.7"),
            ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
            ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
        ],
    )
    def test_the_client_is_the_last_who_is_no_proxy(self, peer, forwarded, client):
        assert self.told(peer, {"x-forwarded-for": forwarded}, "10.0.0.0/24")["client"] == client

    def test_nobody_is_a_proxy_unless_the_site_says_so(self):
        told = self.told("127.0.0.1", {"x-forwarded-for": "1.2.3.4", "x-forwarded-proto": "https"}, "")
        assert (told["client"], told["scheme"]) == ("127.0.0.1", "http")


class TestSlowAndLong:
    @pytest.fixture
    def raw(self, tmp_path, monkeypatch):
        """A connection to a server that has little patience."""
        monkeypatch.setattr(transport, "HEAD_TIMEOUT", 0.3)
        with (
            serving(echo, Settings(home=tmp_path)) as port,
            socket.create_connection(("127.0.0.1", port), 10) as opened,
        ):
            yield opened

    def test_a_head_that_does_not_end_is_cut_off_by_time(self, raw):
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        assert raw.recv(100) == b""

    def test_a_client_that_says_nothing_is_cut_off(self, raw):
        assert raw.recv(100) == b""

    def test_the_second_head_on_a_connection_is_timed_too(self, raw):
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in raw.recv(1000)
        raw.sendall(b"GET / HT")
        rest = raw.recv(1000)
        assert rest == b"" or b"client" in rest

    @pytest.mark.parametrize("head", [b"GET /" + b"a" * 200_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000])
    def test_a_head_that_is_too_long_is_refused(self, raw, head):
        received = b""
        with contextlib.suppress(ConnectionError):
            raw.sendall(head)
            received = raw.recv(100)
        assert received == b"" or b" 431 " in received or b" 400 " in received

    def test_a_body_that_stops_is_given_up(self, monkeypatch):
        monkeypatch.setattr(transport, "BODY_TIMEOUT", 0.05)

        async def read(scope, receive, send):
            await Request(scope, receive).body()

        async def never():
            await asyncio.sleep(60)

        scope = {"type": "http", "method": "POST", "headers": [], "path": "/"}
        with pytest.raises(RequestTimeout):
            anyio.run(PatientBody(read), scope, never, None)

    @pytest.mark.parametrize(("size", "given_up"), [(1, True), (31 * transport.SLOWEST_BODY, False)])
    def test_a_body_that_comes_in_drops_is_given_up_and_one_on_a_slow_line_is_not(self, size, given_up):
        """Each part comes 30 s after the one before it."""
        parts = [
            {"type": "http.request", "body": bytes(size), "more_body": number < 9} for number in range(10)
        ]

        async def drip():
            return parts.pop(0)

        async def read(scope, receive, send):
            await Request(scope, receive).body()

        scope = {"type": "http", "method": "POST", "headers": [], "path": "/"}
        with pytest.raises(RequestTimeout) if given_up else contextlib.nullcontext():
            anyio.run(PatientBody(read, count(0, 30).__next__), scope, drip, None)
        assert len(parts) == (7 if given_up else 0)

    def test_a_client_that_drips_is_told_so_and_its_turn_is_another_ones(self, tmp_path):
        read = threading.Semaphore(0)

        async def take(request: Request) -> JSONResponse:
            async for _ in request.stream():
                read.release()
            return JSONResponse({})

        application = Starlette(
            routes=[Route("/", take, methods=["POST"])],
            middleware=[
                Middleware(Crowding, most=1),
                Middleware(LastResort),
                Middleware(PatientBody, clock=count(0, 30).__next__),
            ],
            exception_handlers=HANDLERS,
        )
        with (
            serving(application, Settings(home=tmp_path)) as port,
            socket.create_connection(("127.0.0.1", port)) as drops,
        ):
            drops.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
            for _ in range(2):
                drops.sendall(b"x")
                assert read.acquire(timeout=60)
            drops.sendall(b"x")
            assert drops.recv(100).startswith(b"HTTP/1.1 408 ")
            address = f"http://127.0.0.1:{port}/"
            assert eventually(lambda: httpx.post(address, content=b"x", trust_env=False).status_code == 200)
