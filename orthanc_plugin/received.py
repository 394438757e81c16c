"""The fail-closed door: what Orthanc received → de-identified bytes, or a refusal.

Orthanc stores the ORIGINAL when the callback raises or returns anything unexpected, and answers success for DISCARD.
So DISCARD is the answer only for what lies durably in the sealed spool; every other way out of `Door.receive` that is
not a de-identified instance is `(MODIFY, b"")`, which Orthanc answers with 0xA700 (C-STORE), 500 (REST) or 400
(STOW-RS), and stores nothing.
"""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from http import HTTPStatus
from typing import Literal, TypeVar

from archive import secrets
from archive.crosswalk import Crosswalk, SealedIdentity
from archive.errors import SenogateError, Unavailable
from archive.settings import Settings
from archive.spool import Arrival, Spool, State
from deidentification import part10
from deidentification.deidentify import Deidentified, Deidentifier, Reason, Refused
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from deidentification.seal import Kind as ProofKind
from deidentification.seal import seal
from orthanc_plugin.arrivals import Arrivals, Passage
from orthanc_plugin.commitment import Commitments, Meaning
from orthanc_plugin.tally import Tally

T = TypeVar("T")
Verdict = tuple[Literal["keep", "modify", "discard"], bytes]
REFUSE: Verdict = ("modify", b"")
HELD: Verdict = ("discard", b"")
_SIDE_BY_SIDE = 16  # instances on their way from `Door.take` to the disk
# What would lose an exam if it were refused, though nothing is wrong with it: held sealed instead, and in which state.
HOLDABLE = {
    Reason.PIXELS_MAY_CARRY_TEXT: State.WAITING,
    Reason.NOT_AN_IMAGE: State.QUARANTINED,
    Reason.IDENTITY_REMAINS: State.QUARANTINED,
}


SHORTAGES = frozenset([1, 4, 11, 14, 16, 19, 22, 36, 42, 2001, *range(1000, 1020)])
"""Orthanc's codes of errors by which it could not store now: what its storage area raised, memory, its index, disk."""


@dataclass(frozen=True)
class Tools:
    """What the door works with, once the site's secrets could be read."""

    deidentifier: Deidentifier
    crosswalk_public_key: bytes
    proof_key: bytes


class Door:
    """Takes the instances of one Orthanc. `warn` is given the reason of each refusal, which holds no value."""

    def __init__(
        self, settings: Settings, crosswalk: Crosswalk, spool: Spool, warn: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._commitments = Commitments(crosswalk, self._seal)
        self._spool = spool
        self._warn = warn
        self._tools: Tools | None = None
        self._lock = threading.Lock()
        self._handed = threading.local()
        self._storing = ThreadPoolExecutor(_SIDE_BY_SIDE, "storing")
        self._tally = Tally()
        self.arrivals = Arrivals(settings.traces_share if settings.traces_url else 0)

    def take(self, instances: Sequence[bytes], store: Callable[[bytes], bool]) -> list[int]:
        """Take instances past Orthanc's own way in: 200 stored, 202 held, 500 refused or not stored, 503 not now.

        `store` hands what may be stored to Orthanc, which asks `receive` about it in the same thread, and tells
        whether it was stored; it raises Unavailable where that may succeed later. All are de-identified first, so
        that Orthanc parses each once and commits are one; they are stored side by side, for most of that is to wait
        for the disk.
        """
        judged, arrivals = [], []
        for instance in instances:
            judged.append(self._judge(instance))
            arrivals.append(self.arrivals.handed())
        return list(self._storing.map(partial(self._store, store), instances, judged, arrivals))

    def receive(self, instance: bytes) -> Verdict:
        """Decide on one received Part 10 instance. Never raises."""
        return self._judge(instance)[0]

    def may_be_stored(self, instance: bytes) -> bool:
        """The second fence: whether these very bytes carry a proof, and it is durable whom they are about.

        What carries a proof over every byte was made here of what had come in before. Never raises but for a
        secret that can't be read.
        """
        verdict = self._let_pass(instance)
        if getattr(self._handed, "is_new", True):
            self._tally.count(verdict or "fence")
        return verdict is not None

    def _let_pass(self, instance: bytes) -> Literal["keep", "modify"] | None:
        """What was decided on an instance that passes the fence; None for one that does not."""
        proof = part10.read_proof(instance)
        if proof is None or not self._ready().deidentifier.carries_proof(instance):
            self._warn("refused an instance: it carries no valid proof of de-identification")
            return None
        if proof[0].kind is ProofKind.WHOLE:
            return "keep"
        try:
            self._commitments.require(part10.read_sop_instance_uid(instance))
        except BaseException as error:  # what the commit raised in its thread, whatever it was
            self._warn(f"refused an instance, because whom it is about is not durable: {_cause(error)}")
            return None
        return "modify"

    def is_proven(self, instance: bytes) -> bool:
        """Whether these very bytes were de-identified or made here. Raises for a secret that can't be read."""
        return self._ready().deidentifier.carries_proof(instance)

    def subject_of(self, instance: bytes) -> tuple[str, str]:
        """The pseudonyms of the study and the patient of what `is_proven`. Raises Refused."""
        who = self._ready().deidentifier.recognise(instance)
        return who.study_instance_uid, who.patient_id

    def is_known(self, instance: bytes, study_instance_uid: str) -> bool:
        """Whether it is durable whom what `is_proven` is about, and its study. Raises Unavailable."""
        proof = part10.read_proof(instance)
        is_whole = proof is not None and proof[0].kind is ProofKind.WHOLE
        asked = [study_instance_uid, *([] if is_whole else [part10.read_sop_instance_uid(instance)])]
        return all(map(self._commitments.holds, asked))

    def keep(self, instance: bytes, store: Callable[[bytes], T], *, is_new: bool = True) -> T:
        """Have `store` hand Orthanc what `is_proven`: asked about it in this thread, the door keeps it as it is.

        One that is not new is not counted.
        """
        self._handed.instance, self._handed.is_new = instance, is_new
        try:
            return store(instance)
        finally:
            self._handed.instance, self._handed.is_new = None, True

    def status(self, nonce: bytes) -> dict[str, object]:
        """What the gateway asks before it serves: the proof shows that this process holds the site's key."""
        tools = self._ready()
        database = self._commitments.answers()
        return {
            "protecting": True,
            "profile": tools.deidentifier.profile.label,
            "database": database,
            "counted": self._tally.to_json(),
            "proof": hmac.new(tools.proof_key, b"senogate status\0" + nonce, hashlib.sha256).hexdigest(),
        }

    def _judge(self, instance: bytes) -> tuple[Verdict, HTTPStatus]:
        """The verdict, with the status that tells a refusal for good from one for want of something. Never raises."""
        try:
            if instance == getattr(self._handed, "instance", None):
                return ("keep", b""), HTTPStatus.OK  # the very bytes that this thread decided on a moment ago
            verdict = self._decide(instance)
            return verdict, HTTPStatus.INTERNAL_SERVER_ERROR if verdict == REFUSE else HTTPStatus.OK
        except (Unavailable, OSError, MemoryError):
            return REFUSE, HTTPStatus.SERVICE_UNAVAILABLE
        except BaseException:  # whatever it is, interrupts too: Orthanc fails open, this door does not
            return REFUSE, HTTPStatus.INTERNAL_SERVER_ERROR

    def _store(
        self,
        store: Callable[[bytes], bool],
        instance: bytes,
        judged: tuple[Verdict, HTTPStatus],
        arrival: Passage | None,
    ) -> int:
        verdict, status = judged
        action, made = verdict
        if verdict == REFUSE:
            return status
        if verdict == HELD:
            return HTTPStatus.ACCEPTED
        try:
            with self.arrivals.instead(arrival):
                is_stored = self.keep(made if action == "modify" else instance, store)
        except Unavailable:
            return HTTPStatus.SERVICE_UNAVAILABLE
        return HTTPStatus.OK if is_stored else HTTPStatus.INTERNAL_SERVER_ERROR

    def _decide(self, instance: bytes) -> Verdict:
        """Decide, and count it."""
        began, clock, verdict = time.time_ns(), time.perf_counter(), REFUSE
        try:
            verdict = self._weigh(instance)
            return verdict
        finally:
            ended = "refuse" if verdict == REFUSE else verdict[0]
            self._tally.note(len(instance), time.perf_counter() - clock)
            if ended in ("refuse", "discard"):
                self._tally.count(ended)
            self.arrivals.decided(began, ended)

    def _weigh(self, instance: bytes) -> Verdict:
        try:
            with self._lock:
                return self._admit(instance)
        except Refused as refused:
            self._tally.refuse(refused.reason.code)
            self._warn(f"refused an instance: {refused}")
            return REFUSE
        except Exception as error:
            self._warn(f"refused an instance, because the door itself failed: {_cause(error)}")
            raise

    def _admit(self, instance: bytes) -> Verdict:
        deidentifier = self._ready().deidentifier
        if deidentifier.carries_whole_proof(instance):
            return "keep", b""
        try:
            deidentified = deidentifier.deidentify(instance)
        except Refused as refused:
            if not self._holds(refused.reason):
                raise
            self._hold(instance, refused.reason)
            self._tally.refuse(refused.reason.code)
            return HELD
        self._commit(deidentified)  # awaited before it is stored
        return "modify", deidentified.instance

    def _holds(self, reason: Reason) -> bool:
        return reason in HOLDABLE and (
            reason is not Reason.NOT_AN_IMAGE or self._settings.documents == "quarantine"
        )

    def _hold(self, instance: bytes, reason: Reason) -> None:
        """Seal an instance into the spool, durably, and who its pseudonyms stand for into the crosswalk."""
        tools = self._ready()
        who = tools.deidentifier.recognise(instance)
        arrival = Arrival(
            digest=_digest(tools.proof_key, who.sop_instance_uid, instance),
            state=HOLDABLE[reason],
            reason=reason.code,
            patient_id=who.patient_id,
            study_instance_uid=who.study_instance_uid,
            sop_instance_uid=who.sop_instance_uid,
            sop_class_uid=who.sop_class_uid,
            size=len(instance),
        )
        self._commit(who).result()
        self._spool.hold(arrival, lambda name: seal(tools.crosswalk_public_key, instance, name.encode()))

    def _ready(self) -> Tools:
        """The tools, made when first needed: a secret that is put back is found without a restart."""
        if self._tools is None:
            folder = self._settings.secrets
            keys = Keys.derive(secrets.read_key(folder, secrets.SITE_KEY))
            public_key = secrets.read_key(folder, secrets.CROSSWALK_PUBLIC_KEY)
            deidentifier = Deidentifier(
                keys,
                Profile.load(self._settings.profile),
                max_instance_bytes=self._settings.max_instance_bytes,
                max_inflated_bytes=self._settings.max_inflated_bytes,
            )
            self._tools = Tools(deidentifier, public_key, keys.proof)
        return self._tools

    def _commit(self, made: Deidentified) -> "Future[None]":
        """Begin to commit what the instance's pseudonyms stand for."""
        identity = asdict(made.identity)
        study, patient = made.study_instance_uid, made.patient_id
        series_uid, instance_uid = identity["series_instance_uid"], identity["sop_instance_uid"]
        meanings = [
            Meaning(study, "study", identity, study, patient),
            Meaning(made.series_instance_uid, "series", series_uid, study, patient),
            Meaning(made.sop_instance_uid, "instance", instance_uid, study, patient),
        ]
        frame = identity["frame_of_reference_uid"]
        pseudonym = self._ready().deidentifier.uid(frame)
        if pseudonym != frame:  # else DICOM's own, or none
            meanings.append(Meaning(pseudonym, "frame-of-reference", frame, study, patient))
        return self._commitments.begin(made.sop_instance_uid, meanings, self._alias_of(made))

    def _alias_of(self, made: Deidentified) -> str:
        """The pseudonym that the Patient ID would have without its issuer; empty where it has none."""
        identity = made.identity
        if not (identity.issuer_of_patient_id and identity.patient_id):
            return ""
        alias = self._ready().deidentifier.pseudonyms.patient_id(identity.patient[0])
        return alias if alias != made.patient_id else ""

    def _seal(self, meaning: Meaning) -> SealedIdentity:
        plain = json.dumps(meaning.original, default=_text).encode()
        sealed = seal(self._ready().crosswalk_public_key, plain, meaning.pseudonym.encode())
        return SealedIdentity(
            meaning.pseudonym, meaning.kind, sealed, meaning.study_instance_uid, meaning.patient_id
        )


def _digest(key: bytes, sop_instance_uid: str, instance: bytes) -> bytes:
    """The same for an instance that is sent again: keyed, over its dataset. File Meta Information tells who sent it."""
    _, start = part10.read_meta(instance)
    mac = hmac.new(key, b"senogate spool\0" + sop_instance_uid.encode() + b"\0", hashlib.sha256)
    mac.update(memoryview(instance)[start:])
    return mac.digest()


def _cause(error: BaseException) -> str:
    """What may be said of an error: our own messages name no value, other people's might."""
    return str(error) if isinstance(error, SenogateError) else type(error).__name__


def _text(value: object) -> str:
    """Identities may hold the raw bytes of a name in its own character set."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    raise TypeError(type(value).__name__)
