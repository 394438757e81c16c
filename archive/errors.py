"""The errors of Senogate, and the one table that maps them to statuses.

    SenogateError
    ├── BadRequest            the request can't be understood; it says what to send instead
    │   └── Unprocessable     it is JSON, and not what is asked for
    ├── Unauthenticated       no token, or one that proves nothing
    ├── Forbidden             a valid token that does not cover the action
    ├── NotFound              absent, or hidden: the two are told apart nowhere
    │   └── Gone              was there once, for who may see everything
    ├── NotAcceptable         no offered representation is acceptable
    ├── UnsupportedMediaType  the payload is of a kind that is not taken
    ├── PayloadTooLarge
    ├── RequestTimeout        the rest of the request does not come
    ├── TooManyRequests       asked more often than the site allows anybody; it says after how long to ask again
    ├── Conflict              the request contradicts what is stored
    │   └── PreconditionFailed    what is stored is not what the client says that it read (If-Match)
    ├── Unproven              the stored bytes carry no valid proof of de-identification: they are used for nothing
    ├── Unavailable           a part of the site does not answer; the same request may succeed later
    └── ConfigurationError    the site is not set up so that it could work

Messages name attributes by keyword and never carry an attribute's value.
"""

import errno
import math
from http import HTTPStatus


class SenogateError(Exception):
    """Root of all errors that Senogate raises on purpose.

    `message` is a text for `%` with `values` where it has any; a page translates the text and puts the values in.
    """

    def __init__(self, message: str = "", **values: object) -> None:
        self.message, self.values = message, values
        super().__init__(message % values if values else message)


class BadRequest(SenogateError):
    pass


class Unprocessable(BadRequest):
    pass


class Unauthenticated(SenogateError):
    pass


class Forbidden(SenogateError):
    pass


class NotFound(SenogateError):
    pass


class Gone(NotFound):
    pass


class NotAcceptable(SenogateError):
    pass


class UnsupportedMediaType(SenogateError):
    pass


class PayloadTooLarge(SenogateError):
    pass


class RequestTimeout(SenogateError):
    pass


class TooManyRequests(SenogateError):
    def __init__(self, wait: float) -> None:
        self.retry_after = max(1, math.ceil(wait))  # whole seconds (RFC 9110 section 10.2.3)
        super().__init__("asked too often: ask again in %(seconds)s s", seconds=self.retry_after)


class Conflict(SenogateError):
    pass


class PreconditionFailed(Conflict):
    pass


class Unproven(SenogateError):
    pass


class Unavailable(SenogateError):
    pass


class ConfigurationError(SenogateError):
    pass


_WANTING = frozenset(
    [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS]
)


_AWAY = frozenset(
    [
        errno.ESTALE,
        errno.EIO,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENXIO,
    ]
)


def is_away(error: BaseException) -> bool:
    """Whether an error of the system says that a disk does not answer, so that nothing is known of its files."""
    return isinstance(error, OSError) and error.errno in _AWAY


def is_shortage(error: BaseException) -> bool:
    """Whether an error of the system says that disk, memory, handles or processes ran out, and may be there again."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _WANTING)


HTTP_STATUS: dict[type[SenogateError], HTTPStatus] = {
    BadRequest: HTTPStatus.BAD_REQUEST,
    Unprocessable: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Gone: HTTPStatus.GONE,
    NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    PayloadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    RequestTimeout: HTTPStatus.REQUEST_TIMEOUT,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    Conflict: HTTPStatus.CONFLICT,
    PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    Unproven: HTTPStatus.INTERNAL_SERVER_ERROR,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def status_of(error: SenogateError) -> HTTPStatus:
    """The HTTP status of an error: that of the most particular kind."""
    return next(HTTP_STATUS[kind] for kind in type(error).__mro__ if kind in HTTP_STATUS)
