"""A site does not start with a de-identification profile that can't be used, and says why."""

from pathlib import Path

import pytest

from archive.errors import ConfigurationError
from archive.settings import load
from senogate.site import check_profile

LOOSE = 'name = "ours"\nversion = "1"\noptions = ["retain_uids", "clean_recognizable_visual_features"]\n'


def check(home: Path, profile: str) -> None:
    check_profile(load({"SENOGATE_HOME": str(home), "SENOGATE_PROFILE": profile}))


@pytest.mark.parametrize("profile", ["breast-screening", "basic"])
def test_shipped(tmp_path: Path, profile: str) -> None:
    check(tmp_path, profile)


def test_own_profile_lies_in_the_home(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text(LOOSE + 'accept-risk = "a study of devices"\n')
    check(tmp_path, "ours.toml")


@pytest.mark.parametrize(
    ("profile", "said"), [("ours.toml", "keeps more than"), ("nobody", "no de-identification")]
)
def test_unusable(tmp_path: Path, profile: str, said: str) -> None:
    (tmp_path / "ours.toml").write_text(LOOSE)
    with pytest.raises(ConfigurationError, match=said):
        check(tmp_path, profile)
