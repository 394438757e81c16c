"""A site's own profile: read with clear errors, and no looser than the shipped one by accident."""

import logging
from pathlib import Path

import pytest

from deidentification.declaration import OPTION_CODES, InvalidProfile, UnknownProfile
from deidentification.profile import Profile

STRICT = 'name = "ours"\nversion = "1"\noptions = ["clean_recognizable_visual_features"]\n'


def load(folder: Path, text: str) -> Profile:
    path = folder / "ours.toml"
    path.write_text(text, "utf-8")
    return Profile.load(str(path))


class TestOwnProfile:
    def test_stricter_is_taken(self, tmp_path: Path) -> None:
        profile = load(tmp_path, STRICT)
        assert profile.label == "Senogate ours 1"
        assert [code for code, _ in profile.method_codes] == ["113100", "113102"]

    def test_removes_more(self, tmp_path: Path) -> None:
        profile = load(tmp_path, STRICT + 'remove = ["Manufacturer", "(0018,0060)"]\n')
        assert not {0x00080070, 0x00180060} & profile.rules.keys()

    @pytest.mark.parametrize(
        "options",
        [
            '["clean_recognizable_visual_features", "retain_uids"]',
            '["clean_recognizable_visual_features", "retain_safe_private"]',
            "[]",
        ],
    )
    def test_looser_needs_a_reason(self, tmp_path: Path, options: str) -> None:
        with pytest.raises(InvalidProfile, match="keeps more than breast-screening"):
            load(tmp_path, f'name = "ours"\nversion = "1"\noptions = {options}\n')

    def test_accepted_risk_is_logged_and_kept(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            profile = load(
                tmp_path, 'name = "ours"\nversion = "1"\noptions = ["retain_uids"]\naccept-risk = "board"\n'
            )
        assert profile.accepted_risk == "board"
        assert "ours accepts a risk: board" in caplog.text

    def test_leaving_pixel_cleaning_out_is_stricter(self, tmp_path: Path) -> None:
        assert not load(tmp_path, STRICT).accepted_risk


class TestMalformed:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("name = ", "not valid TOML"),
            (STRICT + "colour = 1\n", "unknown key 'colour'"),
            (STRICT.replace('"1"', "1"), "version must be a text"),
            (STRICT.replace("ours", "Our Site"), "name must be"),
            (STRICT.replace("ours", "basic"), "is that of a shipped profile"),
            (STRICT.replace('"1"', '""'), "version must be"),
            ('name = "ours"\nversion = "1"\n', "options must be given"),
            (STRICT.replace("_visual", "_audible"), "unknown option"),
            (STRICT.replace("options = [", 'options = ["clean_graphics", "clean_graphics", '), "given twice"),
            (STRICT.replace("options = [", "options = [1, "), "must be a list of texts"),
            (STRICT + 'accept-risk = " "\n', "accept-risk must give a reason"),
            (STRICT + 'remove = ["Nobody"]\n', "'Nobody' is not the keyword"),
            (STRICT + 'remove = ["SOPClassUID"]\n', "can't be removed"),
            (STRICT + 'remove = ["PatientID"]\n', "can't be removed"),
        ],
    )
    def test_is_refused_with_the_reason(self, tmp_path: Path, text: str, said: str) -> None:
        with pytest.raises(InvalidProfile, match=said):
            load(tmp_path, text)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownProfile):
            Profile.load(str(tmp_path / "ours.toml"))


@pytest.mark.parametrize("name", ["breast-screening", "basic"])
def test_shipped_profiles_state_their_options(name: str) -> None:
    """CID 7050; Clean Pixel Data is stated by those instances alone whose pixels were cleaned."""
    profile = Profile.load(name)
    stated = {code for code, _ in profile.method_codes}
    assert stated == {"113100", *(OPTION_CODES[option] for option in profile.options)} - {"113101"}
