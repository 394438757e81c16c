"""The last look for the source's identity in what was written."""

from deidentification import residue

VALUES = {0x00100010: b"MUSTERMANN^ERIKA^VON=\xe5\xe5\xe5\xe5", 0x00100020: b"P-0815 ", 0x00080050: b"4711"}
PSEUDONYM = "SGABCDEFGHIJKLMNOPQRSTUVWX"


class TestSuspects:
    def test_names_by_their_parts_and_numbers_whole(self) -> None:
        assert set(residue.find_suspects(VALUES, PSEUDONYM)) == {
            b"MUSTERMANN",
            b"ERIKA",
            b"P-0815",
            b"\xe5\xe5\xe5\xe5",
        }

    def test_a_pseudonym_is_none(self) -> None:
        assert residue.find_suspects({0x00100020: PSEUDONYM.encode()}, PSEUDONYM) == ()

    def test_no_flood_of_names(self) -> None:
        name = b"^".join(b"NAME%d" % number for number in range(1000))
        assert len(residue.find_suspects({0x00100010: name}, PSEUDONYM)) == 64


class TestSearch:
    def test_whatever_the_case(self) -> None:
        assert residue.search(b"of Mustermann, Erika", (b"MUSTERMANN", b"P-0815")) == (b"MUSTERMANN",)

    def test_more_often_than_explained(self) -> None:
        assert residue.holds_unexplained(b"BREAST BREAST", {b"BREAST": 1}, (b"BREAST",))
        assert not residue.holds_unexplained(b"BREAST BREAST", {b"BREAST": 2}, (b"BREAST",))

    def test_uid_by_itself(self) -> None:
        assert residue.holds_uid(b"UI\x0c\x001.2.752.99.1\0", ["1.2.752.99.1"])

    def test_uid_within_another(self) -> None:
        assert not residue.holds_uid(b"UI\x0e\x001.2.752.99.100", ["1.2.752.99.1"])
