"""Whether the gateway answers, and what it says of the parts that it needs."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httpx

from archive import own_gateway
from gateway.problem import ProblemResponse
from senogate.doctor.finding import Finding, act, fine
from senogate.doctor.place import Place

_PATIENCE = 5.0  # seconds; it asks every part for two


def look(place: Place) -> Iterator[Finding]:
    """The gateway's own word, as `senogate status` has it."""
    url = _url(place)
    try:
        answer = httpx.get(f"{url}/health/ready", **_options(place))
        if _is_crowded(answer):
            todo = "See in its log who asks so much; or run more gateways, or raise requests_at_once."
            yield act("gateway", f"at {url} it works on as many requests as it may, and refuses more", todo)
            return
        parts = _parts(answer)
    except (httpx.HTTPError, ValueError) as error:
        if place.runs_here and place.pid is None:
            return  # it is not to answer: that nothing runs is told
        said = f"nothing that is a gateway answers at {url} ({type(error).__name__})"
        log = place.settings.home / "logs" / "gateway.log"
        yield act(
            "gateway", said, f"The end of {log} says why; on containers its log does.", "senogate status"
        )
        return
    problems = [f"{name} {part['problem']}" for name, part in parts.items() if part.get("problem")]
    if problems:
        said = f"it is not ready: {'; '.join(problems)}"
        yield act("gateway", said, "What else is found here says why.", "senogate status")
    else:
        yield fine("gateway", f"it is ready at {url}")


def answers(place: Place) -> bool:
    """Whether a gateway of any state answers where this site's has to."""
    try:
        answer = httpx.get(f"{_url(place)}/health/ready", **_options(place))
        return _is_crowded(answer) or bool(_parts(answer))
    except (httpx.HTTPError, ValueError):
        return False


def _url(place: Place) -> str:
    return own_gateway.address(place.settings)


def _options(place: Place) -> dict[str, Any]:
    try:
        verify = own_gateway.certificate(place.settings)
    except OSError:  # ssl.SSLError is one
        verify = False  # that it can't be used is told by its own check
    return {"timeout": _PATIENCE, "trust_env": False, "verify": verify}


def _is_crowded(answer: httpx.Response) -> bool:
    """Whether a gateway turned the question away unread (gateway/crowding.py)."""
    kind = answer.headers.get("content-type", "")
    return answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE and kind == ProblemResponse.media_type


def _parts(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    """Raises ValueError for what is no answer of a gateway."""
    found = answer.json()
    parts = found.get("parts") if isinstance(found, dict) else None
    if not isinstance(parts, dict) or not all(isinstance(part, dict) for part in parts.values()):
        raise ValueError("no answer of a gateway")
    return parts
