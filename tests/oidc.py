"""An OpenID provider for tests: it publishes keys, signs what it is told to, and counts what it is asked."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

AUDIENCE = "https://site.test/dicom-web"
_MAKERS = {
    "RS256": lambda kid: RSAKey.generate_key(2048, {"kid": kid}),
    "PS256": lambda kid: RSAKey.generate_key(2048, {"kid": kid}),
    "ES256": lambda kid: ECKey.generate_key("P-256", {"kid": kid}),
    "EdDSA": lambda kid: OKPKey.generate_key("Ed25519", {"kid": kid}),
}


class Provider:
    """Its documents may be changed while it runs; `asked` counts requests by path."""

    def __init__(self, url: str, algorithm: str) -> None:
        self.url = url
        self.algorithm = algorithm
        self.keys: list[Key] = []
        self.asked: Counter[str] = Counter()
        self.metadata: dict[str, Any] = {"issuer": url, "jwks_uri": f"{url}/jwks"}
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.rotate("first")

    def rotate(self, kid: str) -> None:
        """Sign with a new key, published beside the others."""
        self.keys.insert(0, _MAKERS[self.algorithm](kid))

    def sign(self, claims: dict[str, Any] | None = None, **header: Any) -> str:
        """A token of this issuer; claims of None are left out."""
        now = int(time.time())
        own = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "s",
            "iat": now,
            "exp": now + 60,
            "scope": "dicomweb.read",
        }
        chosen = {name: value for name, value in (own | (claims or {})).items() if value is not None}
        fields = {"alg": self.algorithm, "kid": self.keys[0].kid} | header
        return jwt.encode(
            {name: value for name, value in fields.items() if value is not None},
            chosen, self.keys[0], algorithms=[self.algorithm],
        )  # fmt: skip

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        self.asked[path] += 1
        if path in self.answers:
            return self.answers[path]
        documents = {
            "/.well-known/openid-configuration": self.metadata,
            "/jwks": {"keys": [key.as_dict(private=False) | {"use": "sig"} for key in self.keys]},
        }
        if path not in documents:
            return 404, {}, b""
        return 200, {"content-type": "application/json"}, json.dumps(documents[path]).encode()


@contextmanager
def provider(algorithm: str = "RS256") -> Iterator[Provider]:
    """A provider on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = made.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *rest: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Provider(f"http://127.0.0.1:{server.server_port}", algorithm)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()
