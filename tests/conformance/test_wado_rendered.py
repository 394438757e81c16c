"""WADO-RS: rendered resources and thumbnails (PS3.18 sections 8.3.5, 8.7.4 and 10.4)."""

import io
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit

from tests.conformance.cases import is_unacceptable_or_default, own
from tests.conformance.test_wado import parts
from tests.unit.dicom_files import compressed, dataset, part10

STUDY, SERIES = "/studies/3.1", "/studies/3.1/series/3.1.1"
GREY, INVERTED, COLOUR, PALETTE, FILM, NONE, BROKEN = (
    f"/studies/{study}/series/{study}.1/instances/{study}.1.{number}"
    for study, number in [("3.1", 1), ("3.1", 2), ("3.2", 1), ("3.2", 2), ("3.3", 1), ("3.4", 1), ("3.5", 1)]
)
ROWS, COLUMNS = 40, 60
RAMP = np.add.outer(np.arange(ROWS) * 60, np.arange(COLUMNS)).astype("<u2")


def grey(values: np.ndarray, **more) -> dict:
    return {
        "Rows": values.shape[-2], "Columns": values.shape[-1], "SamplesPerPixel": 1, "BitsAllocated": 16,
        "PhotometricInterpretation": "MONOCHROME2", "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0,
        "PixelData": values.tobytes(), **more,
    }  # fmt: skip


def colour(values: np.ndarray) -> dict:
    own = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    return grey(values[..., 0]) | own | bits | {"PixelData": values.tobytes()}


def palette(values: np.ndarray) -> dict:
    own = {"PhotometricInterpretation": "PALETTE COLOR", "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    for number, name in enumerate(("Red", "Green", "Blue")):
        own[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        table = ((np.arange(256) + number) % 256 * 257).astype("<u2")
        own[f"{name}PaletteColorLookupTableData"] = table.tobytes()
    return grey(values) | own | {"PixelData": values.astype("u1").tobytes()}


def exams() -> list[bytes]:
    def instance(study: str, number: int, **values) -> dict:
        uids = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1"}
        return uids | {"SOPInstanceUID": f"{study}.1.{number}", "InstanceNumber": number} | values

    window = {"WindowCenter": 1200, "WindowWidth": 800}
    rgb = np.stack([np.full((ROWS, COLUMNS), level, "u1") for level in (200, 100, 50)], axis=-1)
    film = np.stack([RAMP // 4, RAMP // 2, RAMP])
    made = [
        instance("3.1", 1, **grey(RAMP, **window)),
        instance("3.1", 2, **grey(RAMP, **window, PhotometricInterpretation="MONOCHROME1")),
        instance("3.2", 1, **colour(rgb)),
        instance("3.2", 2, **palette(RAMP % 256)),
        instance("3.3", 1, **grey(film, NumberOfFrames=3)),
        instance("3.4", 1),
    ]
    broken = instance("3.5", 1, **compressed([[b"\xff\xd8garbage!"]], table=False))
    return [*(part10(dataset(**each)) for each in made), part10(dataset(**broken), JPEGBaseline8Bit)]


@pytest.fixture(scope="module")
def client(serve_instances) -> Iterator[httpx.Client]:
    with serve_instances(exams()) as gateway, gateway.client() as opened:
        yield opened


def picture(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    image = Image.open(io.BytesIO(answer.content))
    assert Image.MIME[image.format] == answer.headers["content-type"]
    return np.asarray(image.convert("RGB") if image.mode == "P" else image)


def png(client: httpx.Client, path: str, **parameters: str) -> np.ndarray:
    return picture(client.get(query(path, **parameters), headers={"Accept": "image/png"})).astype(int)


def query(path: str, **parameters: str) -> str:
    """The address with its parameters as section 8.3.5 writes them: commas part values and are not encoded."""
    return f"{path}?{'&'.join(f'{name}={value}' for name, value in parameters.items())}"


def linear(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3 section C.11.2.1.2.1, by its pseudo-code."""
    levels = ((values.astype(float) - (center - 0.5)) / (width - 1) + 0.5) * 255
    levels = np.where(values <= center - 0.5 - (width - 1) / 2, 0, levels)
    levels = np.where(values > center - 0.5 + (width - 1) / 2, 255, levels)
    return np.floor(levels + 0.5).astype(int)


class TestMediaTypes:
    """Section 8.7.4."""

    @pytest.mark.standard
    @pytest.mark.parametrize("accept", [None, "*/*", "image/*", "image/jpeg", "image/webp, image/jpeg;q=0.1"])
    def test_jpeg_is_the_default(self, client, accept):
        answer = client.get(f"{GREY}/rendered", headers={"Accept": accept} if accept else {})
        assert (picture(answer).shape, answer.headers["content-type"]) == ((ROWS, COLUMNS), "image/jpeg")

    @pytest.mark.standard
    @pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "image/gif"])
    @pytest.mark.parametrize("by_query", [False, True])
    def test_others_by_header_or_query(self, client, kind, by_query):
        asked = {"params": {"accept": kind}} if by_query else {"headers": {"Accept": kind}}
        answer = client.get(f"{GREY}/rendered", **asked)
        assert (picture(answer).ndim >= 2, answer.headers["content-type"]) == (True, kind)

    @pytest.mark.standard
    @pytest.mark.parametrize("accept", ["text/html", "application/dicom", "image/png;q=0", *own("video/mp4")])
    def test_what_is_not_made_is_406_or_the_default(self, client, accept):
        answer = client.get(f"{GREY}/rendered", headers={"Accept": accept})
        assert is_unacceptable_or_default(answer, "image/jpeg")

    @pytest.mark.parametrize("accept", ["text/html", "application/dicom", "image/png;q=0", *own("video/mp4")])
    def test_what_is_not_made_is_406(self, client, accept):
        assert client.get(f"{GREY}/rendered", headers={"Accept": accept}).status_code == 406

    def test_an_animation_holds_every_frame(self, client):
        answer = client.get(f"{FILM}/rendered", headers={"Accept": "image/gif"})
        assert Image.open(io.BytesIO(answer.content)).n_frames == 3


class TestLevels:
    """Section 10.4.1.1.3: study, series, instance, frames."""

    @pytest.mark.parametrize("path", [STUDY, SERIES])
    def test_all_instances_of_a_resource(self, client, path):
        found = parts(client.get(f"{path}/rendered"))
        assert [kind for kind, _ in found] == ["image/jpeg"] * 2

    def test_an_instance_as_multipart(self, client):
        accept = 'multipart/related; type="image/png"'
        ((kind, body),) = parts(client.get(f"{GREY}/rendered", headers={"Accept": accept}))
        assert (kind, body[:4]) == ("image/png", b"\x89PNG")

    def test_frames_in_the_order_asked(self, client):
        accept = 'multipart/related; type="image/png"'
        found = parts(client.get(f"{FILM}/frames/3,1/rendered", headers={"Accept": accept}))
        levels = [np.asarray(Image.open(io.BytesIO(body))) for _, body in found]
        assert np.array_equal(levels[0], png(client, f"{FILM}/frames/3/rendered"))
        assert np.array_equal(levels[1], png(client, f"{FILM}/frames/1/rendered"))

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            (f"{FILM}/frames/4", 404), (f"{FILM}/frames/0", 400), (f"{NONE}/frames/1", 404), (NONE, 406),
            ("/studies/3.4", 406), ("/studies/9", 404), ("/studies/x", 400), (BROKEN, 406), ("/studies/3.5", 406),
        ],
    )  # fmt: skip
    def test_what_there_is_not(self, client, path, status):
        answer = client.get(f"{path}/rendered")
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


class TestGrey:
    """PS3.3 sections C.7.6.3.1.2 and C.11.2."""

    def test_the_window_of_the_header(self, client):
        assert np.array_equal(png(client, f"{GREY}/rendered"), linear(RAMP, 1200, 800))

    def test_monochrome1_is_turned_round(self, client):
        assert np.array_equal(png(client, f"{INVERTED}/rendered"), 255 - linear(RAMP, 1200, 800))

    def test_without_a_window_the_whole_range(self, client):
        found = png(client, f"{FILM}/frames/3/rendered")
        assert (found.min(), found.max()) == (0, 255)

    def test_a_window_asked_for(self, client):
        """Section 8.3.5.1.4."""
        found = png(client, f"{GREY}/rendered", window="1000,500,linear")
        assert np.array_equal(found, linear(RAMP, 1000, 500))

    @pytest.mark.standard
    @pytest.mark.parametrize("function", ["linear", "linear-exact", "sigmoid"])
    def test_a_window_makes_its_levels(self, client, function):
        """Section 8.3.5.1.4 and PS3.3 section C.11.2, to within two levels of 255."""
        x = (RAMP - 1000.0) / 500
        levels = 255 / (1 + np.exp(-4 * x)) if function == "sigmoid" else np.clip((x + 0.5) * 255, 0, 255)
        found = png(client, f"{GREY}/rendered", window=f"1000,500,{function}")
        assert np.abs(found - levels).max() <= 2

    @pytest.mark.parametrize("function", ["linear-exact", "sigmoid"])
    def test_its_functions(self, client, function):
        x = (RAMP - 1000.0) / 500
        levels = 255 / (1 + np.exp(-4 * x)) if function == "sigmoid" else np.clip((x + 0.5) * 255, 0, 255)
        found = png(client, f"{GREY}/rendered", window=f"1000,500,{function}")
        assert np.array_equal(found, np.floor(levels + 0.5))

    @pytest.mark.standard
    @pytest.mark.parametrize(
        "window",
        ["", "1000", "1000,500", "1000,500,cubic", "a,500,linear", "1e99,nan,linear", "1,2,linear,3",
         *own("1000,0,linear", "1,0,sigmoid", "1,-5,linear-exact")],
    )  # fmt: skip
    def test_a_malformed_one_is_400(self, client, window):
        assert client.get(query(f"{GREY}/rendered", window=window)).status_code == 400


class TestColour:
    """PS3.3 section C.7.6.3.1.2."""

    @pytest.mark.standard
    def test_rgb(self, client):
        assert png(client, f"{COLOUR}/rendered")[0, 0].tolist() == [200, 100, 50]

    @pytest.mark.standard
    def test_palette(self, client):
        found = png(client, f"{PALETTE}/rendered")
        assert found[0, 10].tolist() == [10, 11, 12]

    @pytest.mark.parametrize(("profile", "has"), [("no", False), ("yes", True), ("srgb", True)])
    @pytest.mark.parametrize("kind", ["image/jpeg", "image/png"])
    def test_icc_profile(self, client, profile, has, kind):
        """Section 8.3.5.1.5."""
        answer = client.get(f"{COLOUR}/rendered", params={"iccprofile": profile}, headers={"Accept": kind})
        assert ("icc_profile" in Image.open(io.BytesIO(answer.content)).info) == has

    @pytest.mark.parametrize(
        ("profile", "kind"), [("adobergb", "image/png"), ("x", "image/png"), ("yes", "image/gif")]
    )
    def test_one_that_is_not_made_is_400(self, client, profile, kind):
        answer = client.get(f"{COLOUR}/rendered", params={"iccprofile": profile}, headers={"Accept": kind})
        assert answer.status_code == 400


class TestViewport:
    """Section 8.3.5.1.3."""

    @pytest.mark.parametrize(
        ("viewport", "shape"),
        [("30,30", (20, 30)), ("120,40", (40, 60)), ("600,600", (400, 600)), ("10,10,20,10,20,20", (10, 10)),
         ("20,20,,,30,20", (13, 20)), ("1,1", (1, 1))],
    )  # fmt: skip
    def test_as_large_as_fits_with_its_own_aspect(self, client, viewport, shape):
        assert png(client, f"{GREY}/rendered", viewport=viewport).shape == shape

    @pytest.mark.standard
    @pytest.mark.parametrize(
        ("viewport", "part"),
        [("20,10,30,5,20,10", np.s_[5:15, 30:50]), ("60,40,0,0,-60,40", np.s_[:, ::-1]),
         ("60,40,0,0,60,-40", np.s_[::-1])],
    )  # fmt: skip
    def test_what_it_shows(self, client, viewport, part):
        """To within two levels of 255."""
        found = png(client, f"{GREY}/rendered", viewport=viewport, window="1000,500,linear")
        assert np.abs(found - linear(RAMP, 1000, 500)[part]).max() <= 2

    def test_a_region_is_cut_out(self, client):
        found = png(client, f"{GREY}/rendered", viewport="20,10,30,5,20,10")
        assert np.array_equal(found, linear(RAMP, 1200, 800)[5:15, 30:50])

    @pytest.mark.parametrize(
        ("viewport", "turn"),
        [("60,40,,,-60,40", np.s_[:, ::-1]), ("60,40,,,60,-40", np.s_[::-1]), ("60,40,,,-60,-40", np.s_[::-1, ::-1])],
    )  # fmt: skip
    def test_negative_sizes_flip(self, client, viewport, turn):
        assert np.array_equal(
            png(client, f"{GREY}/rendered", viewport=viewport), linear(RAMP, 1200, 800)[turn]
        )

    @pytest.mark.standard
    @pytest.mark.parametrize(
        "viewport",
        ["", "10", "-1,10", "1.5,10", "10,10,0,0,61,40", "10,10,59,0,10,10", "10,10,1,1,1,1,1", "a,b", "10,10,x",
         *own("0,10", "10,10,0,0,0,10", "99999,10")],
    )  # fmt: skip
    def test_a_malformed_one_is_400(self, client, viewport):
        assert client.get(query(f"{GREY}/rendered", viewport=viewport)).status_code == 400


class TestOtherParameters:
    """Sections 8.3.5.1.1 and 8.3.5.1.2."""

    @pytest.mark.standard
    def test_quality_makes_a_jpeg_smaller(self, client):
        sizes = [
            len(client.get(f"{GREY}/rendered", params={"quality": each}).content)
            for each in ("5", "50", "100")
        ]
        assert sizes == sorted(sizes) and sizes[0] < sizes[2]

    @pytest.mark.standard
    @pytest.mark.parametrize("quality", ["", "0", "101", "a", "1.5", "-1"])
    def test_a_malformed_one_is_400(self, client, quality):
        assert client.get(f"{GREY}/rendered", params={"quality": quality}).status_code == 400

    @pytest.mark.parametrize("annotation", ["patient", "technique", "patient,technique"])
    def test_annotations_are_left_out_with_a_warning(self, client, annotation):
        answer = client.get(f"{GREY}/rendered", params={"annotation": annotation})
        assert (answer.status_code, answer.headers["warning"]) == (
            200,
            f'299 senogate "The following annotation values are not supported: {annotation}"',
        )

    @pytest.mark.parametrize("annotation", ["", "name", "patient,x"])
    def test_what_is_no_annotation_is_400(self, client, annotation):
        assert client.get(f"{GREY}/rendered", params={"annotation": annotation}).status_code == 400

    def test_asked_again_it_is_the_same(self, client):
        first, second = (client.get(f"{COLOUR}/rendered", params={"viewport": "33,33"}) for _ in range(2))
        assert first.content == second.content


class TestThumbnails:
    """Sections 8.3.5.2 and 10.4.1.1.4."""

    @pytest.mark.parametrize("path", [STUDY, SERIES, GREY, COLOUR, PALETTE, FILM, f"{FILM}/frames/2"])
    def test_one_small_jpeg_at_every_level(self, client, path):
        found = picture(client.get(f"{path}/thumbnail"))
        assert max(found.shape[:2]) == 128

    def test_its_size_can_be_asked_for(self, client):
        answer = client.get(f"{GREY}/thumbnail", params={"viewport": "12,12"})
        assert picture(answer).shape == (8, 12)

    @pytest.mark.parametrize("viewport", ["12,12,0,0,10,10", "x", "12"])
    def test_nothing_but_its_size(self, client, viewport):
        assert client.get(f"{GREY}/thumbnail", params={"viewport": viewport}).status_code == 400

    @pytest.mark.parametrize(
        ("path", "status"), [(NONE, 404), (BROKEN, 406), (f"{FILM}/frames/4", 404), ("/studies/9", 404)]
    )
    def test_what_there_is_not(self, client, path, status):
        assert client.get(f"{path}/thumbnail").status_code == status
