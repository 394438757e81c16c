"""Who may use the worklist, and which workitems they see: those about studies that they see."""

from starlette.requests import HTTPConnection

from archive.errors import Forbidden
from archive.policy import NOTHING, Action
from archive.worklist import Viewer
from gateway.services import principal_of, scope_of


def viewer_of(request: HTTPConnection, action: Action) -> Viewer:
    """What the request's principal sees of the worklist. Raises Forbidden.

    Who may read DICOMweb may look at it, who may write there may change it; the scope `worklist` stands for both.
    """
    scope = scope_of(request, Action.WORKLIST, action)
    if scope == NOTHING and action == Action.WRITE:
        raise Forbidden("no permit lets the token change the worklist")
    return Viewer(scope, principal_of(request).subject)
