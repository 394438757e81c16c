"""What Orthanc answers over HTTP: an allow-list. Everything else is 403, from whoever it comes.

Other routes would reveal identities that Orthanc knows for a moment (`/modalities`, `/tools/create-dicom`), change
what is stored past the door (`PUT` of attachments and metadata, `/modify`), or copy it out unaudited.
"""

import re

GET, POST, DELETE = 1, 2, 4  # OrthancPluginHttpMethod

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}"
_ALLOWED: tuple[tuple[int, re.Pattern[str]], ...] = (
    (GET, re.compile(r"/(?:system|plugins(?:/[\w-]+)?|statistics|changes|senogate/(?:status|arrivals))")),
    (GET, re.compile(rf"/(?:instances|series|studies)(?:/{_ID})?")),
    (GET, re.compile(rf"/patients/{_ID}")),
    (GET, re.compile(rf"/instances/{_ID}/file")),
    (POST, re.compile(r"/instances|/senogate/(?:instances|files|index)|/tools/bulk-content")),
    (DELETE, re.compile(rf"/instances/{_ID}")),
)


def allows(method: int, uri: str) -> bool:
    """Whether a request may reach Orthanc. `uri` is the path without its query."""
    return any(method == allowed and pattern.fullmatch(uri) for allowed, pattern in _ALLOWED)
