"""A real S3 server, and buckets of it."""

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from archive.bucket import Access, Bucket
from tests.live import find_free_ports

Application = Callable[[Mapping[str, Any], Callable[..., Any]], Any]


class S3:
    """A server on loopback; what is done to a request on its way is `between`, which gets the application itself."""

    def __init__(self) -> None:
        self._application: Application = DomainDispatcherApplication(create_backend_app)
        self.between: Callable[[Application, Mapping[str, Any], Callable[..., Any]], Any] = _through
        self.asked: list[str] = []
        self.port = 0
        self._server: Any = None

    def start(self) -> "S3":
        """Listen, at the port of before where it was stopped; what it held is there again."""
        self.port = self.port or find_free_ports(1)[0]
        self._server = make_server("127.0.0.1", self.port, self._answer, threaded=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        """Answer nobody."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bucket(self, *, versions: bool = False) -> Bucket:
        """A new one."""
        bucket = Bucket(Access(self.url, f"images-{uuid.uuid4().hex}", "us-east-1", "key", "secret"))
        client = client_of(bucket)
        client.create_bucket(Bucket=bucket.access.bucket)
        if versions:
            client.put_bucket_versioning(
                Bucket=bucket.access.bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        return bucket

    def _answer(self, environ: Mapping[str, Any], start: Callable[..., Any]) -> Any:
        self.asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        return self.between(self._application, environ, start)


def _through(application: Application, environ: Mapping[str, Any], start: Callable[..., Any]) -> Any:
    return application(environ, start)


def client_of(bucket: Bucket) -> Any:
    """The library's own client, to look into a bucket by."""
    return bucket._client()


def held(bucket: Bucket) -> list[str]:
    """The names of all objects and their older versions, and of marks of removals."""
    told = client_of(bucket).list_object_versions(Bucket=bucket.access.bucket)
    return [each["Key"] for each in (*told.get("Versions", ()), *told.get("DeleteMarkers", ()))]


@contextmanager
def serving() -> Iterator[S3]:
    """A server while the block lasts."""
    server = S3().start()
    try:
        yield server
    finally:
        server.stop()
