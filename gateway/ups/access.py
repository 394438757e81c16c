"""Who may use the worklist: it names studies, so those who may see them all."""

from starlette.requests import HTTPConnection

from archive.errors import Forbidden
from archive.policy import Action, Scope
from gateway.services import scope_of


def worklist_scope(request: HTTPConnection, action: Action) -> Scope:
    """What the request's principal may do the action on. Raises Forbidden where that is not everything."""
    scope = scope_of(request, action)
    if not scope.everything:
        raise Forbidden("the worklist is for who may see every study")
    return scope
