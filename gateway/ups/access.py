"""Who may use the worklist, and which workitems they see: those about studies that they see."""

from starlette.requests import HTTPConnection

from archive.policy import Action
from archive.worklist import Viewer
from gateway.services import principal_of, scope_of


def viewer_of(request: HTTPConnection, action: Action) -> Viewer:
    """What the request's principal sees of the worklist. Raises Forbidden.

    Who may read DICOMweb may look at it, who may write there may change it; the scope `worklist` stands for both.
    """
    return Viewer(scope_of(request, Action.WORKLIST, action), principal_of(request).subject)
