"""Orthanc's HTTP allow-list: what the site's own parts need, and nothing that leaks or writes past the door."""

import pytest

from orthanc_plugin.guard import DELETE, GET, POST, allows

PUT = 3
ID = "6b9e19d9-62094390-5f9ddb01-4a191ae7-9766b715"


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        (GET, "/system"),
        (GET, "/plugins"),
        (GET, "/plugins/python"),
        (GET, "/changes"),
        (GET, "/senogate/status"),
        (GET, "/senogate/arrivals"),
        (GET, f"/instances/{ID}"),
        (GET, f"/instances/{ID}/file"),
        (GET, f"/studies/{ID}"),
        (GET, f"/patients/{ID}"),
        (POST, "/instances"),
        (POST, "/senogate/instances"),
        (POST, "/senogate/files"),
        (POST, "/senogate/index"),
        (POST, "/tools/bulk-content"),
        (DELETE, f"/instances/{ID}"),
    ],
)
def test_lets_in_what_the_site_needs(method: int, uri: str) -> None:
    assert allows(method, uri)


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        (PUT, f"/instances/{ID}/metadata/1024"),
        (PUT, f"/instances/{ID}/attachments/1024"),
        (POST, f"/instances/{ID}/modify"),
        (POST, f"/studies/{ID}/anonymize"),
        (POST, f"/studies/{ID}/archive"),
        (POST, "/tools/create-dicom"),
        (POST, "/tools/execute-script"),
        (POST, "/tools/find"),
        (POST, "/tools/reset"),
        (DELETE, f"/studies/{ID}"),
        (DELETE, f"/patients/{ID}"),
        (GET, "/patients"),
        (DELETE, "/changes"),
        (DELETE, "/instances"),
        (GET, "/modalities"),
        (GET, "/app/explorer.html"),
        (GET, "/dicom-web/studies"),
        (POST, "/dicom-web/studies"),
        (GET, "/wado"),
        (GET, f"/instances/{ID}/../../modalities"),
        (GET, f"/instances/{ID}\n"),
        (GET, "//system"),
        (GET, "/SYSTEM"),
        (POST, "/instances/"),
        (GET, ""),
    ],
)
def test_keeps_everything_else_out(method: int, uri: str) -> None:
    assert not allows(method, uri)
