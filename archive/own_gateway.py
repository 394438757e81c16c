"""How the site's own parts reach its gateway: by its address on this host, and by its own certificate."""

import ssl

from archive.settings import Settings


def address(settings: Settings) -> str:
    """Its URL without a trailing slash."""
    host = "127.0.0.1" if settings.host in ("", "0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    scheme = "https" if settings.tls_certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"


def certificate(settings: Settings) -> ssl.SSLContext | bool:
    """Trust in the gateway's own certificate and no other, whatever name it is for; False where it speaks HTTP."""
    if not settings.tls_certificate:
        return False
    context = ssl.create_default_context(cafile=settings.tls_certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
