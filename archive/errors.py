"""The errors of Senogate, and the one table that maps them to statuses.

    SenogateError
    ├── BadRequest            the request can't be understood; it says what to send instead
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
    ├── Unproven              the stored bytes carry no valid proof of de-identification: they are used for nothing
    ├── Unavailable           a part of the site does not answer; the same request may succeed later
    └── ConfigurationError    the site is not set up so that it could work

Messages name attributes by keyword and never carry an attribute's value.
"""

import math
from http import HTTPStatus


class SenogateError(Exception):
    """Root of all errors that Senogate raises on purpose."""


class BadRequest(SenogateError):
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
        super().__init__(f"asked too often: ask again in {self.retry_after} s")


class Conflict(SenogateError):
    pass


class Unproven(SenogateError):
    pass


class Unavailable(SenogateError):
    pass


class ConfigurationError(SenogateError):
    pass


HTTP_STATUS: dict[type[SenogateError], HTTPStatus] = {
    BadRequest: HTTPStatus.BAD_REQUEST,
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
    Unproven: HTTPStatus.INTERNAL_SERVER_ERROR,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
