"""Who may decide on datasets, permits and roles."""

from starlette.requests import Request

from archive.errors import Forbidden
from archive.policy import Action, Role
from gateway.services import grants_of, principal_of


def is_manager(request: Request) -> bool:
    """Whether the request's principal decides on datasets and permits, and its token lets it."""
    principal = principal_of(request)
    return grants_of(request).manages and principal.has_roles and Action.MANAGE in principal.actions


def require_manager(request: Request) -> str:
    """The subject of who decides. Raises Forbidden."""
    if not is_manager(request):
        raise Forbidden("stewards and administrators decide on this, with the scope manage")
    return principal_of(request).subject


def is_administrator(request: Request) -> bool:
    """Whether the request's principal decides on what principals are as well."""
    return Role.ADMINISTRATOR in grants_of(request).roles and is_manager(request)


def require_administrator(request: Request) -> str:
    """The subject of who decides on what principals are. Raises Forbidden."""
    if not is_administrator(request):
        raise Forbidden("administrators decide on this, with the scope manage")
    return principal_of(request).subject
