"""One message to one receiver: to an address that was checked, signed, of bounded size and time."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from socket import SOCK_STREAM, gaierror, getaddrinfo

import httpx

from archive.addresses import is_allowed, is_public, is_within, reached
from archive.errors import ConfigurationError
from archive.settings import Settings
from archive.webhook_keys import Key

PATIENCE = 15.0  # seconds for all of it
CONNECTING = 5.0  # seconds for one address
MOST_ADDRESSES = 4  # of a name that are tried
LONGEST_WAIT = 3600.0  # seconds of a Retry-After that are honoured
_LOOKUPS = 16  # names looked up at once


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a message. `failure` is empty where it was taken; `wait` are seconds that the receiver asks for."""

    failure: str = ""
    is_gone: bool = False
    wait: float = 0.0


class Sender:
    """Sends messages as the Standard Webhooks specification says.

    No redirect is followed, no proxy is asked, and of an answer the body is not read. Raises ConfigurationError for
    authorities that are none.
    """

    def __init__(self, settings: Settings) -> None:
        self._networks = settings.webhook_networks.replace(",", " ").split()
        self._context = _context(settings.webhook_authorities)
        self._lookups = ThreadPoolExecutor(
            _LOOKUPS, "lookup"
        )  # a name server that hangs holds up nothing else

    async def send(self, url: str, keys: Sequence[Key], identifier: str, body: bytes) -> Answer:
        """Send a message, signed by each of the keys."""
        timestamp = int(time.time())
        signatures = " ".join(key.sign(identifier, timestamp, body) for key in keys)
        headers = {
            "webhook-id": identifier,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures,
            "content-type": "application/json",
            "user-agent": "Senogate-Webhook/1",
        }
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._post(url, headers, body)
        except TimeoutError:
            return Answer(f"no answer within {PATIENCE:.0f} s")

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        if not is_allowed(url):
            return Answer("its URL is not one that is told")
        target = httpx.URL(url)
        try:
            found = await self._lookup(target)
        except (gaierror, UnicodeError):
            return Answer("its name is not known")
        addresses = [address for address in found if self._may_reach(target, address)]
        if not addresses:
            return Answer("its address is not public, and webhook_networks does not name it")
        failure = ""
        for address in addresses[:MOST_ADDRESSES]:
            try:
                return await self._post_to(address, target, headers, body)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = _reason(error)
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
                return Answer(f"the connection broke ({type(error).__name__})")
        return Answer(failure)

    async def _lookup(self, target: httpx.URL) -> list[str]:
        loop = asyncio.get_running_loop()
        port = target.port or {"https": 443, "http": 80}[target.scheme]
        found = await loop.run_in_executor(
            self._lookups, lambda: getaddrinfo(target.host, port, type=SOCK_STREAM)
        )
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def _may_reach(self, target: httpx.URL, text: str) -> bool:
        address = reached(text)
        if target.scheme != "https" and not address.is_loopback:
            return False
        return is_public(address) or is_within(address, self._networks)

    async def _post_to(self, address: str, target: httpx.URL, headers: dict[str, str], body: bytes) -> Answer:
        """Connect to that very address, by the name's certificate: the name is not looked up a second time.

        The connection is used for nothing else: another name of the same address has another certificate.
        """
        host = {"host": target.netloc.decode("ascii")}
        extensions = {"sni_hostname": target.host}
        async with (
            httpx.AsyncClient(
                verify=self._context,
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(PATIENCE, connect=CONNECTING),
            ) as client,
            client.stream(
                "POST",
                target.copy_with(host=address),
                headers=host | headers,
                content=body,
                extensions=extensions,
            ) as answer,
        ):
            return _read(answer)

    def close(self) -> None:
        self._lookups.shutdown(wait=False, cancel_futures=True)


def _read(answer: httpx.Response) -> Answer:
    if answer.is_success:
        return Answer()
    told = answer.headers.get("retry-after", "")
    wait = min(float(told), LONGEST_WAIT) if told.isascii() and told.isdecimal() else 0.0
    status = answer.status_code
    return Answer(f"it answers with the status {status}", status == HTTPStatus.GONE, wait)


def _reason(error: httpx.TransportError) -> str:
    """Why there was no connection; of another's words nothing."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "its certificate is not trusted"
        cause = cause.__cause__ or cause.__context__
    return f"it can't be connected to ({type(error).__name__})"


def _context(authorities: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        if authorities:
            context.load_verify_locations(authorities)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"webhook_authorities can't be used ({type(error).__name__})") from None
    return context
