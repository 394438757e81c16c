"""What a record tells of a site's studies."""

import pytest

from archive.errors import BadRequest, NotFound
from federation.provenance import cohort
from federation.provenance.trace import find_study, uses
from federation.provenance.verification import Provenance, verify
from tests.federation.records import MANIFEST, Written, key, sha, signed, state, whole

SALT, STUDIES = bytes(32), ["2.25.1", "2.25.2", "2.25.3"]
LEAVES = cohort.leaves(SALT, STUDIES)
ROOT = cohort.root(LEAVES)
OWN = key("aachen").public_key().public_bytes_raw()


def record(rounds: int = 3, best: int = 3) -> Provenance:
    """Of a run in whose second and third round aachen learnt from the studies."""

    def learnt(one):
        said = one.statement
        if said.site != "aachen" or said.round not in (2, 3):
            return one
        return signed(state("aachen", said.round, said.previous, cohort=ROOT))

    written = Written(alter=learnt)
    for number in range(1, rounds + 2):
        written.round(number)
    return verify(written.end(best=best).content)


def leaves_of(root: str) -> list[bytes]:
    if root != ROOT:
        raise NotFound("no such cohort")
    return LEAVES


class TestStudy:
    def test_is_found_in_the_rounds_that_learnt_from_it(self):
        found = find_study(record(), STUDIES[0], None, SALT, leaves_of)
        assert found is not None and found.rounds == (2, 3)

    def test_is_proved_against_what_the_site_signed(self):
        found = find_study(record(), STUDIES[0], None, SALT, leaves_of)
        assert found is not None and all(cohort.verify(root, proof) for root, proof in found.proofs)

    def test_that_the_best_weights_had_not_seen_yet_is_not_found(self):
        assert find_study(record(best=1), STUDIES[0], None, SALT, leaves_of) is None

    def test_of_no_cohort_is_not_found(self):
        assert find_study(record(), "2.25.4", None, SALT, leaves_of) is None

    def test_can_not_be_told_of_where_the_site_lost_its_cohort(self):
        with pytest.raises(NotFound, match="lost"):
            find_study(record(), STUDIES[0], OWN, SALT, leaves_of)

    def test_is_not_looked_for_in_leaves_of_another_root(self):
        with pytest.raises(BadRequest, match="not the one"):
            find_study(record(), STUDIES[0], None, SALT, lambda _: LEAVES)


class TestUses:
    def test_tell_permits_versions_and_rounds_of_each_site(self):
        found = {one.site: one for one in uses(verify(whole().content)) if one.kind == "train"}
        assert found["breda"].rounds == (1, 2, 3) and found["breda"].permits == ("P7",)
        assert found["breda"].versions == (("screening@1", sha("dataset breda")),)

    def test_tell_apart_what_weights_were_only_judged_on(self):
        judged = [one for one in uses(verify(whole().content)) if one.kind == "evaluate"]
        assert [(one.site, one.rounds) for one in judged] == [("aachen", (4,)), ("breda", (4,))]
        assert MANIFEST.rounds == 3
