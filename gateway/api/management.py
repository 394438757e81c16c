"""Who may decide on datasets, permits and roles."""

from starlette.requests import Request

from archive.errors import Forbidden
from archive.policy import Action, Grants, Principal, Role
from gateway.services import grants_of, principal_of


def is_manager(request: Request) -> bool:
    """Whether the request's principal decides on datasets and permits, and its token lets it."""
    return manages(principal_of(request), grants_of(request))


def manages(principal: Principal, grants: Grants) -> bool:
    """Whether a principal decides on datasets and permits, as `is_manager` has it."""
    return grants.manages and principal.has_roles and Action.MANAGE in principal.actions


def require_manager(request: Request) -> str:
    """The subject of who decides. Raises Forbidden."""
    if not is_manager(request):
        raise Forbidden("stewards and administrators decide on this, with the scope manage")
    return principal_of(request).subject


def reads_applications(request: Request) -> bool:
    """Whether the request's principal reads what others ask for, and its token lets it."""
    principal, grants = principal_of(request), grants_of(request)
    return grants.reads_applications and principal.has_roles and Action.MANAGE in principal.actions


def votes(request: Request) -> bool:
    """Whether the request's principal is one of the committee."""
    return Role.COMMITTEE in grants_of(request).roles and reads_applications(request)


def require_committee(request: Request) -> str:
    """The subject of who votes. Raises Forbidden."""
    if not votes(request):
        raise Forbidden("the committee votes on this, with the scope manage")
    return principal_of(request).subject


def is_administrator(request: Request) -> bool:
    """Whether the request's principal decides on what principals are as well."""
    return Role.ADMINISTRATOR in grants_of(request).roles and is_manager(request)


def require_administrator(request: Request) -> str:
    """The subject of who decides on what principals are. Raises Forbidden."""
    if not is_administrator(request):
        raise Forbidden("administrators decide on this, with the scope manage")
    return principal_of(request).subject
