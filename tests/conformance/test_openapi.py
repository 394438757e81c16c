"""What `/openapi.json` promises, put to a running gateway by schemathesis: never a 5xx."""

import httpx
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode

BOUNDED = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@schemathesis.serializer(
    *("application/dicom", "multipart/related", "application/dicom+json", "application/dicom+xml"),
    *("application/toml", "application/octet-stream"),
)
def as_it_is(context, value):
    return value if isinstance(value, bytes) else repr(value).encode()


def test_no_request_of_the_document_is_a_server_error(gateway):
    document = httpx.get(f"{gateway.settings.public_url}/openapi.json", trust_env=False).json()
    schema = schemathesis.openapi.from_dict(document)
    for operation in (found.ok() for found in schema.get_all_operations()):
        if operation.path == "/health/ready":  # 503 is right: no worker follows this stack's Orthanc
            continue
        put(operation.as_strategy(generation_mode=GenerationMode.POSITIVE), gateway)
        if "{" in operation.path:  # without a parameter nothing can be wrong
            put(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE), gateway)


def put(cases, gateway):
    @BOUNDED
    @given(cases)
    def check(case):
        case.call_and_validate(
            base_url=gateway.settings.public_url,
            headers={"Authorization": f"Bearer {gateway.token}"},
            checks=[not_a_server_error],
            timeout=30,
        )

    check()
