"""The language that a page speaks: what the person chose, else what the browser asks for, else English.

Texts are in `locales/`, as gettext keeps them: tools/messages.py collects and merges them (docs/languages.md).
Interfaces, the trail and messages to other programs are English whatever a request asks for.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive.errors import SenogateError

ENGLISH = "en"
LANGUAGES = {"en": "English", "es": "Español", "fr": "Français", "de": "Deutsch", "it": "Italiano"}
"""What the site speaks, by code of BCP 47; each is named in itself."""
DOMAIN = "senogate"
COOKIE = "lang"
_MOST_RANGES = 32  # of Accept-Language that are looked at
_spoken: ContextVar[str] = ContextVar("spoken", default=ENGLISH)
_here: ContextVar[str] = ContextVar("here", default="/")


def language() -> str:
    """The code of the language that the request under way is answered in."""
    return _spoken.get()


def here() -> str:
    """The page that the request under way shows, as a path of this site: where a change of language leads back to."""
    return _here.get()


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Have texts that are made within be in a language of LANGUAGES."""
    token = _spoken.set(code)
    try:
        yield
    finally:
        _spoken.reset(token)


def gettext(message: str) -> str:
    """A text in the language of the request."""
    return _translations(language()).gettext(message)


def ngettext(singular: str, plural: str, number: int) -> str:
    """The one of two texts that goes with a number, in the language of the request."""
    return _translations(language()).ngettext(singular, plural, number)


def pgettext(context: str, message: str) -> str:
    """A text that means different things at different places, in the language of the request."""
    return _translations(language()).pgettext(context, message)


def npgettext(context: str, singular: str, plural: str, number: int) -> str:
    """Both of it."""
    return _translations(language()).npgettext(context, singular, plural, number)


def marked(message: str) -> str:
    """The same text: marks for collection what is a constant here and is given to `gettext` where it is shown."""
    return message


def told(error: SenogateError) -> str:
    """What an error says, as a sentence in the language of the request; in English where no translation has it."""
    text = gettext(error.message) % error.values if error.values else gettext(error.message)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def choose(headers: Headers, chosen: str = "") -> str:
    """The language of a request: `chosen` where it is one of LANGUAGES, else of Accept-Language (RFC 9110 12.5.4)."""
    if chosen in LANGUAGES:
        return chosen
    return _accepted(", ".join(headers.getlist("accept-language"))) or ENGLISH


def _accepted(header: str) -> str:
    """The most wanted of LANGUAGES, by its first subtag (lookup of RFC 4647 3.4); the first named of equals."""
    wanted: dict[str, float] = {}
    for each in header.split(",")[:_MOST_RANGES]:
        named, *parameters = (part.strip().lower() for part in each.split(";"))
        code = ENGLISH if named == "*" else named.split("-")[0]
        if code in LANGUAGES:
            wanted[code] = max(wanted.get(code, 0.0), _weight(parameters))
    best = max(wanted, key=lambda code: wanted[code], default="")
    return best if best and wanted[best] > 0 else ""


def _weight(parameters: Sequence[str]) -> float:
    for each in parameters:
        name, _, value = each.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


@cache
def _translations(code: str) -> NullTranslations:
    """The texts of a language, compiled from its catalogue when it is first spoken."""
    if code == ENGLISH:
        return NullTranslations()
    compiled = BytesIO()
    with catalogue(code).open("rb") as source:
        write_mo(compiled, read_po(source, locale=code, domain=DOMAIN))
    compiled.seek(0)
    return GNUTranslations(compiled)


@cache
def texts_of(folder: str, code: str) -> Mapping[str, str]:
    """What the files below a folder say, in a language: by what they say in English, of which there is nothing."""
    if code == ENGLISH:
        return {}
    with catalogue(code).open("rb") as source:
        found = read_po(source, locale=code, domain=DOMAIN)
    own = [each for each in found if each.id and any(path.startswith(folder) for path, _ in each.locations)]
    return {str(each.id): str(each.string) for each in own}


def catalogue(code: str) -> Any:
    """The file with a language's texts (a Traversable; its stubs differ between the Pythons that are supported)."""
    return files("gateway.portal").joinpath("locales", code, "LC_MESSAGES", f"{DOMAIN}.po")


class Languages:
    """Has every request answered in its language, and says of pages which one that is and what it depends on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        connection = HTTPConnection(scope)
        code = choose(connection.headers, connection.cookies.get(COOKIE, ""))

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault("content-language", code)
                    headers.add_vary_header("accept-language, cookie")
            await send(message)

        with speaking(code):
            shown = _here.set(_page(connection))
            try:
                await self._app(scope, receive, add)
            finally:
                _here.reset(shown)


def _page(connection: HTTPConnection) -> str:
    """The page that is asked for; of a form's answer, the one that the form was on."""
    try:
        shown = urlsplit(str(connection.url))
        if connection.scope["method"] not in ("GET", "HEAD"):
            sent_from = urlsplit(connection.headers.get("referer", ""))
            if sent_from.netloc != shown.netloc:
                return "/"
            shown = sent_from
    except ValueError:  # brackets that hold no address
        return "/"
    return f"{shown.path}?{shown.query}" if shown.query else shown.path or "/"
