"""How a page is made: of a template, under a policy by which it loads nothing from elsewhere.

Scripts run on few, and then the site's own files alone.
"""

from functools import cache
from http import HTTPStatus

from jinja2 import Environment, PackageLoader
from starlette.responses import HTMLResponse, Response

from gateway import htmx
from gateway.portal import formats, languages, words
from gateway.portal.files import address
from gateway.portal.visits import current_visit

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

WITH_SCRIPT = f"{CONTENT_SECURITY_POLICY}; script-src 'self'; connect-src 'self'"
_SMOOTH = frozenset(["front_clinician.html"])
"""Pages that htmx is loaded on."""
_SCRIPTED = _SMOOTH | frozenset(["worklist.html", "federation.html", "federation_run.html"])
"""Pages that have a script of their own, or htmx."""


def page(template: str, status: HTTPStatus = HTTPStatus.OK, **values: object) -> Response:
    """An HTML page, kept by no cache."""
    policy = WITH_SCRIPT if template in _SCRIPTED else CONTENT_SECURITY_POLICY
    headers = {"content-security-policy": policy, "cache-control": "no-store"}
    smooth = htmx.HTMX.version if template in _SMOOTH and htmx.is_there() else ""
    frame = {"visit": current_visit(), "htmx": smooth, "style": address("portal.css")}
    return HTMLResponse(render(template, **frame | values), status, headers)


def render(template: str, **values: object) -> str:
    """A template of this folder with the values in it, escaped."""
    return _templates().get_template(template).render(**values)


@cache
def _templates() -> Environment:
    """Escaping what they show; their texts are looked up in the language of the request.

    A text of a template may hold tags, and so may its translations. What Python hands in is translated by the filter
    `translated`, which, unlike `_`, has it escaped.
    """
    made = Environment(
        loader=PackageLoader("gateway.portal", ""), autoescape=True, extensions=["jinja2.ext.i18n"]
    )
    made.policies["ext.i18n.trimmed"] = True
    made.install_gettext_callables(  # type: ignore[attr-defined]  # the extension gives it
        languages.gettext,
        languages.ngettext,
        newstyle=True,
        pgettext=languages.pgettext,
        npgettext=languages.npgettext,
    )
    made.globals |= {
        "language": languages.language,
        "languages": languages.LANGUAGES,
        "here": languages.here,
    }
    made.filters |= {
        "told_item": formats.told_item,
        "translated": languages.gettext,
        "word": words.word,
        "headed": words.headed,
        "number": formats.number,
        "percent": formats.percent,
        "significant": formats.significant,
        "day": formats.day,
        "moment": formats.moment,
        "study_date": formats.study_date,
    }
    return made
