"""What every page has around it: addresses of its files, colours, and htmx, checked before it is used."""

import base64
import hashlib
import io
import re
import tarfile
from html import unescape
from pathlib import Path

import pytest

from gateway import htmx
from gateway.npm import Package, PackageError
from gateway.portal import files
from gateway.portal.pages import _templates
from gateway.portal.visits import Visit
from tests.unit import fake_site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return fake_site.build(tmp_path_factory.mktemp("home"))


class TestFiles:
    def test_a_page_names_its_style_sheet_by_its_content(self, site):
        page = site.client.get("/programs").text
        (address,) = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page)
        answer = site.client.get(address)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"].startswith("text/css")

    def test_under_another_address_it_is_not_kept_for_good(self, site):
        assert "immutable" not in site.client.get("/portal.css?old").headers["cache-control"]

    @pytest.mark.parametrize("name", ["portal.css", "icon.svg"])
    def test_who_takes_gzip_gets_less(self, site, name):
        plain = site.client.get(f"/{name}", headers={"accept-encoding": "identity"})
        compressed = site.client.get(f"/{name}", headers={"accept-encoding": "gzip"})
        assert plain.content == compressed.content
        assert compressed.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers

    def test_no_colour_stands_beside_the_palette_in_one_scheme_alone(self):
        """Every colour of the palette has a value for light and one for dark."""
        sheet = (Path(files.__file__).parent / "portal.css").read_text()
        palette = re.search(r":root \{(.*?)\}", sheet, re.DOTALL)
        assert palette
        colours = [line for line in palette.group(1).splitlines() if "#" in line]
        assert colours
        assert all("light-dark(" in line for line in colours)


class TestAppearance:
    @pytest.mark.parametrize("chosen", ["light", "dark", "device"])
    def test_is_kept_in_a_cookie_and_shown(self, site, chosen):
        form = {"appearance": chosen, "next": "/programs"}
        answer = site.client.post("/appearance", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/programs")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        page = site.client.get("/programs", headers={"cookie": cookie.partition(";")[0]}).text
        assert (f'data-appearance="{chosen}"' in page) == (chosen != "device")
        assert f'value="{chosen}" aria-pressed="true"' in page

    @pytest.mark.parametrize("form", [{"appearance": "pink"}, {"next": "/"}])
    def test_that_is_none_is_refused(self, site, form):
        assert site.client.post("/appearance", data=form).status_code in (400, 422)

    def test_of_a_strange_cookie_is_the_devices(self, site):
        page = site.client.get("/programs", headers={"cookie": 'senogate-appearance="><script>'}).text
        assert "data-appearance" not in page
        assert "<script" not in page

    def test_is_not_set_by_another_site(self, site):
        headers = {"origin": "https://evil.test"}
        assert (
            site.client.post("/appearance", data={"appearance": "dark"}, headers=headers).status_code == 403
        )

    @pytest.mark.parametrize("path", ["//evil.test", "https://evil.test", "/\\evil.test"])
    def test_leads_to_no_other_site(self, site, path):
        answer = site.client.post("/appearance", data={"appearance": "dark", "next": path})
        assert answer.headers["location"] == "/"


class TestFrame:
    @pytest.mark.parametrize(
        ("path", "link", "told"),
        [
            ("/admin", "/admin", "page"),
            ("/worklist", "/worklist/", "page"),
            ("/admin/roles", "/admin", "true"),
            ("/administration", "/admin", ""),
            ("/catalogue", "/", ""),
        ],
    )
    def test_where_one_is(self, path, link, told):
        """WAI-ARIA 1.2, aria-current."""
        assert Visit(path=path).current(link) == told

    def test_every_page_is_drawn_in_it(self):
        """No page has a frame of its own, so that none lacks the way to the content, the title or the languages."""
        environment = _templates()
        names = [name for name in environment.list_templates(["html"]) if name != "layout.html"]
        sources = {name: (Path(files.__file__).parent / name).read_text() for name in names}
        assert [name for name, text in sources.items() if "<html" in text or "<head" in text] == []

    def test_signing_in_leads_back(self, site):
        page = unescape(site.client.get("/programs?a=b").text)
        assert 'href="/login?next=/programs%3Fa%3Db"' in page

    def test_without_postgresql_the_front_says_so(self, site):
        answer = site.client.get("/")
        assert answer.status_code == 200
        assert 'role="alert"' in answer.text
        assert "Research use only" in answer.text


class TestHtmx:
    @pytest.fixture
    def archive(self, monkeypatch):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w:gz") as members:
            for name in (
                "package/LICENSE",
                "package/dist/htmx.min.js",
                "package/dist/ext/sse.js",
                "../outside",
            ):
                member = tarfile.TarInfo(name)
                member.size = len(name)
                members.addfile(member, io.BytesIO(name.encode()))
        digest = base64.b64encode(hashlib.sha512(made.getvalue()).digest()).decode()
        monkeypatch.setattr(htmx, "HTMX", Package("htmx.org", "0", f"sha512-{digest}"))
        return made

    def test_the_script_and_its_licence_are_kept_alone(self, archive, tmp_path):
        htmx.unpack(archive, tmp_path / "htmx")
        assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"LICENSE", "htmx.min.js"}
        assert htmx.is_there(tmp_path / "htmx")

    def test_an_archive_that_is_another_is_not_unpacked(self, archive, tmp_path):
        archive.seek(0, io.SEEK_END)
        archive.write(b"\0")
        with pytest.raises(PackageError, match="SHA-512 differs"):
            htmx.unpack(archive, tmp_path / "htmx")
        assert not htmx.is_there(tmp_path / "htmx")

    def test_may_do_nothing_that_the_policy_forbids(self):
        layout = (Path(files.__file__).parent / "layout.html").read_text()
        for setting in ('"allowEval":false', '"includeIndicatorStyles":false', '"allowScriptTags":false'):
            assert setting in layout
        assert '"selfRequestsOnly":true' in layout
        assert '"historyCacheSize":0' in layout  # no page of a study is left in the browser

    def test_a_site_without_it_says_that_it_is_not_there(self, site, monkeypatch, tmp_path):
        monkeypatch.setattr(htmx, "FOLDER", tmp_path)
        assert site.client.get("/htmx.js").status_code == 404
