"""The viewer's page, its configuration, this site's own scripts in it, and OHIF's files."""

import hashlib
import json
import mimetypes
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.portal.languages import gettext, language, texts_of
from gateway.portal.pages import page
from gateway.portal.worklist import mark_opened
from gateway.services import services_of
from gateway.viewer.package import FOLDER, PREFIX, VERSION, is_unpacked

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "connect-src 'self' blob: data:; img-src 'self' blob: data:; "
    "style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# A worker has a policy of its own. The JPEG decoders make functions of text; a worker touches no page.
WORKER_POLICY = "default-src 'none'; script-src 'self' 'unsafe-eval'; connect-src 'self' blob: data:"
WORKLIST = "/worklist/"
READ = "/viewer/read"  # the page of one study or of several
# OHIF's parts that the mode needs, by their numbers
CHUNKS = ["1673", "6938", "6489", "6495", "8478", "89", "2623", "341", "3552", "6749", "9383", "7248"]
_KEPT = "public, max-age=31536000, immutable"
_TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".woff2": "font/woff2"}


async def show(request: Request) -> Response:
    """GET /viewer/read: OHIF, which asks for studies by itself, with the person's cookie; GET /viewer/ leads there."""
    folder = folder_of(request)
    if not is_unpacked(folder):
        return page("no_viewer.html", HTTPStatus.SERVICE_UNAVAILABLE, archive=f"app-{VERSION}.tgz")
    if request.url.path == "/viewer/":
        asked = "StudyInstanceUIDs" in request.query_params
        return RedirectResponse(f"{READ}?{request.url.query}" if asked else WORKLIST, HTTPStatus.SEE_OTHER)
    await mark_opened(request)
    headers = {"content-security-policy": CONTENT_SECURITY_POLICY, "cache-control": "no-store"}
    return HTMLResponse(_document(folder), headers=headers)


async def lead(request: Request) -> Response:
    """GET /viewer."""
    return RedirectResponse("/viewer/", HTTPStatus.SEE_OTHER)


async def configuration(request: Request) -> Response:
    """GET /viewer/app-config.js: what OHIF is configured to be here."""
    public = urlsplit(services_of(request).settings.dicomweb_url)
    values = {"prefix": PREFIX, "dicomweb": public.path}  # of the origin that the page has
    return _in_language(request, "app-config.js", "site", values | {"worklist": gettext("Worklist")})


async def script(request: Request) -> Response:
    """GET /viewer/scripts/{name}: one of this site's own scripts."""
    name = request.path_params["name"]
    if name not in scripts():
        raise HTTPException(HTTPStatus.NOT_FOUND)
    if name == "texts.js":
        values = {"language": language(), "texts": texts_of("gateway/viewer/", language())}
        return _in_language(request, name, "texts", values)
    return _script(request, files("gateway.viewer").joinpath(name).read_bytes())


async def ohif(request: Request) -> Response:
    """GET /viewer/{version}/{path}: a file of OHIF, which stays as it is under its address."""
    folder = folder_of(request)
    path = _names(folder).get(request.path_params["path"]) if is_unpacked(folder) else None
    if path is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    headers = {"cache-control": _KEPT, "vary": "accept-encoding"}
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if path.suffix == ".js":
        headers["content-security-policy"] = WORKER_POLICY
    compressed = path.with_name(f"{path.name}.gz")
    if compressed.exists() and "gzip" in request.headers.get("accept-encoding", ""):
        path, headers = compressed, headers | {"content-encoding": "gzip"}
    return FileResponse(path, headers=headers, media_type=media_type)


@cache
def scripts() -> frozenset[str]:
    """The names of this site's own scripts; the configuration is one that is filled in."""
    names = {each.name for each in files("gateway.viewer").iterdir()}
    return frozenset(name for name in names if name.endswith(".js")) - {"app-config.js"}


def folder_of(request: Request) -> Path:
    return Path(services_of(request).settings.viewer or FOLDER)


def _in_language(request: Request, name: str, place: str, values: Mapping[str, object]) -> Response:
    """A script with values in it that depend on the reader's language."""
    text = files("gateway.viewer").joinpath(name).read_text("utf-8")
    answer = _script(request, text.replace(f'"{{{{ {place} }}}}"', json.dumps(values)).encode())
    answer.headers.add_vary_header("accept-language, cookie")
    return answer


def _script(request: Request, content: bytes) -> Response:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(content, headers=headers, media_type="text/javascript")


@cache
def _document(folder: Path) -> str:
    """The page, with the names that this version's bundles have, and what they ask for later asked for at once."""
    (bundle,) = (folder / "dist").glob("app.bundle.*.js")
    chunks = [path.name for chunk in CHUNKS for path in (folder / "dist").glob(f"{chunk}.bundle.*.js")]
    early = [f'<link rel="preload" as="script" href="{PREFIX}{name}">' for name in chunks]
    early += [f'<link rel="modulepreload" href="/viewer/scripts/{name}">' for name in sorted(scripts())]
    text = files("gateway.viewer").joinpath("index.html").read_text("utf-8")
    values = {"prefix": PREFIX, "bundle": bundle.name, "early": "\n".join(early)}
    for name, value in values.items():
        text = text.replace(f"{{{{ {name} }}}}", value)
    return text


@cache
def _names(folder: Path) -> dict[str, Path]:
    """OHIF's files by their names in an address: what is not among them is not there, whatever a path says."""
    root = folder / "dist"
    return {
        str(path.relative_to(root)): path
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".gz"
    }


PAGES = [Route("/viewer/", show, methods=["GET"]), Route(READ, show, methods=["GET"])]
STATIC = [
    Route(path, endpoint, methods=["GET"], include_in_schema=False)
    for path, endpoint in (
        ("/viewer", lead),
        ("/viewer/app-config.js", configuration),
        ("/viewer/scripts/{name}", script),
        (f"{PREFIX}{{path:path}}", ohif),
    )
]
