"""Collects the texts that pages show, and brings the catalogues of all languages up to date with them.

    python tools/messages.py    after a text changed; what is new is empty until somebody translates it

Catalogues name files and no lines, so that they change where texts do. tests/unit/test_messages.py checks them.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
LOCALES = ROOT / "gateway/portal/locales"
TEMPLATE = LOCALES / "senogate.pot"
CODES = ("de", "es", "fr", "it")
FUNCTIONS: dict[str, Any] = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "marked": None,
}
ERRORS = (
    *("AmbiguousCredentials", "BadRequest", "Conflict", "CrossSite", "Forbidden", "Gone", "NotFound"),
    *("PayloadTooLarge", "Unauthenticated", "Unavailable", "UnsupportedMediaType"),
)
SHOWN = (  # modules whose errors pages show
    *(
        "archive/applications.py",
        "archive/consents.py",
        "archive/job_packages.py",
        "archive/job_questions.py",
        "archive/jobs.py",
        "archive/proposals.py",
        "archive/rules.py",
    ),
    *("archive/catalogue.py", "archive/catalogue_fields.py", "archive/datasets.py", "archive/errors.py"),
    *("archive/optout.py", "gateway/api/applications.py", "gateway/consents.py", "gateway/downloads.py"),
    *("archive/matching.py", "gateway/search/answering.py", "gateway/search/facts.py"),
    "gateway/search/question.py",
    *("archive/permits.py", "archive/query.py", "archive/summaries.py", "archive/members.py"),
    *("archive/approvals.py", "archive/run_requests.py", "archive/runs.py", "gateway/accounts.py"),
    *("gateway/clients.py", "gateway/catalogue/asked.py", "gateway/api/jobs.py"),
    *("gateway/api/management.py", "gateway/api/payload.py", "gateway/sessions.py", "gateway/sign_in.py"),
)
HEADER = """\
# The texts of Senogate's pages; kept by tools/messages.py. The words that each language uses: docs/languages.md.
msgid ""
msgstr ""
"Language: {code}\\n"
"Plural-Forms: {plurals}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def collect() -> Catalog:
    """The texts of templates and of Python, each with the files that have it."""
    catalogue = Catalog(fuzzy=False)
    for path in sorted(ROOT.glob("gateway/**/*.html")):
        _add(catalogue, path, "jinja2.ext:babel_extract", FUNCTIONS)
    for path in sorted(ROOT.glob("gateway/viewer/*.js")):
        _add(catalogue, path, "javascript", FUNCTIONS)
    for path in sorted([*ROOT.glob("archive/**/*.py"), *ROOT.glob("gateway/**/*.py")]):
        is_shown = str(path.relative_to(ROOT)) in SHOWN or "portal" in path.relative_to(ROOT).parts
        _add(catalogue, path, "python", FUNCTIONS | (dict.fromkeys(ERRORS) if is_shown else {}))
    return catalogue


def _add(catalogue: Catalog, path: Path, method: str, functions: dict[str, Any]) -> None:
    options = {"newstyle_gettext": "true", "trimmed": "true", "silent": "false"}
    if method == "python":
        options = {"parse_template_string": "false"}
    found = extract_from_file(method, path, functions, ["Translators:"], options, strip_comment_tags=True)
    for _, message, comments, context in found:
        place = [(str(path.relative_to(ROOT)), None)]
        catalogue.add(message, locations=place, auto_comments=comments, context=context)


def merge(code: str, template: Catalog) -> Catalog:
    """A language's catalogue with the texts of the template: what it has of them, and no other."""
    path = LOCALES / code / "LC_MESSAGES/senogate.po"
    known = read_po(BytesIO(path.read_bytes() if path.exists() else b""), locale=code)
    known.update(template, no_fuzzy_matching=True)
    known.obsolete.clear()
    return known


def text_of(catalogue: Catalog) -> bytes:
    """A catalogue as it lies in its file."""
    written = BytesIO()
    write_po(written, catalogue, width=110, sort_output=True, include_lineno=False, omit_header=True)
    code = str(catalogue.locale) if catalogue.locale else ""
    header = HEADER.format(code=code, plurals=catalogue.plural_forms if code else "")
    return header.encode() + written.getvalue()


def main() -> None:
    template = collect()
    TEMPLATE.write_bytes(text_of(template))
    for code in CODES:
        path = LOCALES / code / "LC_MESSAGES/senogate.po"
        path.parent.mkdir(parents=True, exist_ok=True)
        merged = merge(code, template)
        path.write_bytes(text_of(merged))
        missing = sum(not _is_translated(each.string) for each in merged if each.id)
        print(f"{code}: {len(merged)} texts, {missing} without a translation")


def _is_translated(string: Any) -> bool:
    return all(string) if isinstance(string, (list, tuple)) else bool(string)


if __name__ == "__main__":
    main()
