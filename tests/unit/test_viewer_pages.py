"""The viewer's page and files at a gateway without a site: who is let in, what may be kept, what is not given."""

import gzip
from pathlib import Path

import pytest

from gateway.viewer import package, pages
from tests.unit import fake_site

BUNDLE = "app.bundle.0123456789abcdef.js"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A viewer of three files."""
    folder = tmp_path_factory.mktemp("ohif")
    (folder / "dist" / "assets").mkdir(parents=True)
    (folder / "stamp").write_text(package._STAMP)
    (folder / "secret").write_text("not for anybody")
    for name, content in ((BUNDLE, b"bundle();"), ("codec.wasm", b"\0asm"), ("assets/favicon.ico", b"icon")):
        (folder / "dist" / name).write_bytes(content)
    (folder / "dist" / f"{BUNDLE}.gz").write_bytes(gzip.compress(b"bundle();"))
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory, folder):
    return fake_site.build(tmp_path_factory.mktemp("home"), viewer=str(folder))


def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back(site):
    answer = site.client.get("/viewer/?StudyInstanceUIDs=1.2.3")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fviewer%2F%3FStudyInstanceUIDs%3D1.2.3"


def test_a_study_opens_in_the_mode_in_which_it_is_read(site):
    answer = site.client.get("/viewer/?StudyInstanceUIDs=1.2.3", headers=site.bearer())
    assert (answer.status_code, answer.headers["location"]) == (303, "/viewer/read?StudyInstanceUIDs=1.2.3")


def test_without_a_study_the_worklist_opens(site):
    assert site.client.get("/viewer/", headers=site.bearer()).headers["location"] == "/worklist/"


def test_the_page_names_this_versions_bundle_under_a_strict_policy(site):
    answer = site.client.get("/viewer/read", headers=site.bearer())
    assert f'src="{package.PREFIX}{BUNDLE}"' in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe-eval'" not in policy and "script-src 'self' 'wasm-unsafe-eval';" in policy
    assert answer.headers["cache-control"] == "no-store"


def test_a_page_has_no_script_in_it(site):
    """What the policy would refuse."""
    text = site.client.get("/viewer/read", headers=site.bearer()).text
    assert text.count("<script") == text.count("<script src=") + text.count("<script defer src=")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (BUNDLE, "text/javascript; charset=utf-8"),
        ("codec.wasm", "application/wasm"),
        ("assets/favicon.ico", "image/"),
    ],
)
def test_a_file_is_kept_for_ever_under_its_version(site, name, kind):
    answer = site.client.get(package.PREFIX + name)
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_a_file_comes_compressed_where_that_is_taken(site):
    packed = site.client.get(package.PREFIX + BUNDLE, headers={"Accept-Encoding": "gzip"})
    plain = site.client.get(package.PREFIX + BUNDLE, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content == b"bundle();"


def test_only_a_worker_may_make_functions_of_text(site):
    assert "'unsafe-eval'" in site.client.get(package.PREFIX + BUNDLE).headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["../secret", "..%2Fsecret", "%2E%2E/secret", "/etc/passwd", f"{BUNDLE}.gz", "none.js"]
)
def test_nothing_else_is_given(site, path):
    assert site.client.get(package.PREFIX + path).status_code == 404


def test_its_own_scripts_are_asked_for_again_and_told_unchanged(site):
    answer = site.client.get("/viewer/scripts/extension.js")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
    again = site.client.get("/viewer/scripts/extension.js", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["pages.py", "index.html", "..%2F..%2Fapp.py", "none.js"])
def test_no_other_file_of_the_package_is_a_script(site, name):
    assert site.client.get(f"/viewer/scripts/{name}").status_code == 404


def test_every_script_that_another_imports_is_served(site):
    for name in pages.scripts():
        text = site.client.get(f"/viewer/scripts/{name}").text
        assert {
            line.split('"./')[1].split('"')[0] for line in text.splitlines() if '"./' in line
        } <= pages.scripts()


def test_the_configuration_asks_this_origin(tmp_path):
    site = fake_site.build(tmp_path, public_url="https://images.hospital.test")
    text = site.client.get("/viewer/app-config.js").text
    assert '"dicomweb": "/dicom-web"' in text
    assert "hospital.test" not in text


def test_a_site_without_the_viewer_says_what_is_missing(tmp_path):
    site = fake_site.build(tmp_path, viewer=str(tmp_path / "none"))
    answer = site.client.get("/viewer/?StudyInstanceUIDs=1.2.3", headers=site.bearer())
    assert answer.status_code == 503
    assert "The viewer is missing" in answer.text
    assert site.client.get(f"{package.PREFIX}{BUNDLE}").status_code == 404
