"""Reviews of readers into their studies: each that has no SR yet gets one, by the door that everything enters by.

Where results are delivered to clinical PACS, it follows them.

The row says what is to be written until it is; the SR's UID hangs on the review alone, so that who is killed between
writing and noting it is followed by who writes the same again.
"""

import logging
from contextlib import closing

import psycopg

from archive import deliveries, reviews
from archive.erasure import storing
from archive.errors import NotFound, SenogateError
from archive.orthanc import Orthanc
from archive.pool import autocommitting
from archive.reviews import Due
from archive.settings import Settings
from archive.tiers import Tiers
from deidentification.deidentify import Deidentifier
from inference.delivery.described import describe
from inference.instance import read_dataset
from inference.results.review import review_sr, sop_instance_uid

_log = logging.getLogger("senogate.reviews")


class ReviewWriter:
    """Writes the SRs of reviews; any number of them may be at it."""

    def __init__(self, settings: Settings, deidentifier: Deidentifier) -> None:
        self._settings, self._tiers = settings, Tiers.of(settings)
        self._deidentifier = deidentifier

    def write(self, review_id: str) -> None:
        """Write the SR of a review that has none, unless its study is withheld; where it can't be, put it off.

        Raises Unavailable where PostgreSQL does not answer: it is still due.
        """
        with autocommitting(self._settings.database_url) as connection:
            study = reviews.study_of(connection, review_id)
            if study is None:
                return
            try:
                with storing(connection, study) as allowed:
                    if allowed and (review := reviews.begin(connection, review_id)):
                        self._store(connection, review)
            except SenogateError as error:
                _log.warning("the SR of a review waits: %s", error)
                reviews.put_off(connection, review_id)

    def _store(self, connection: psycopg.Connection, review: Due) -> None:
        place = reviews.context(connection, review)
        if place is None:
            raise NotFound("its study has no instance")
        header = read_dataset(self._tiers.path(place), pixels=False)
        uid = self._deidentifier.pseudonyms.uid
        written = self._deidentifier.prove(review_sr(review, header, uid))
        with closing(Orthanc(self._settings)) as orthanc:
            orthanc.store(written)
        with connection.transaction():
            reviews.finish(connection, review.review_id, sop_instance_uid(review.review_id, uid))
            result = describe(written, "review")
            deliveries.want(connection, self._settings.destinations, review.study_instance_uid, [result])
        _log.info("a review is in its study")
