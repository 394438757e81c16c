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
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from archive import secrets
from archive.crosswalk import Crosswalk, Kind, SealedIdentity
from archive.errors import SenogateError
from archive.settings import Settings
from archive.spool import Arrival, Spool, State
from deidentification import part10
from deidentification.deidentify import Deidentified, Deidentifier, Reason, Refused
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from deidentification.seal import seal

Verdict = tuple[Literal["keep", "modify", "discard"], bytes]
REFUSE: Verdict = ("modify", b"")
HELD: Verdict = ("discard", b"")
# What would lose an exam if it were refused, though nothing is wrong with it: held sealed instead, and in which state.
HOLDABLE = {
    Reason.PIXELS_MAY_CARRY_TEXT: State.WAITING,
    Reason.NOT_AN_IMAGE: State.QUARANTINED,
    Reason.IDENTITY_REMAINS: State.QUARANTINED,
}
_REMEMBERED = 4096  # pseudonyms of studies and series known to be in the crosswalk


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
        self._crosswalk = crosswalk
        self._spool = spool
        self._warn = warn
        self._tools: Tools | None = None
        self._committed: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def receive(self, instance: bytes) -> Verdict:
        """Decide on one received Part 10 instance. Never raises."""
        try:
            return self._decide(instance)
        except BaseException:  # whatever it is, interrupts too: Orthanc fails open, this door does not
            return REFUSE

    def may_be_stored(self, instance: bytes) -> bool:
        """The second fence: whether these very bytes carry a proof that they were made here."""
        return self._ready().deidentifier.carries_proof(instance)

    def status(self, nonce: bytes) -> dict[str, object]:
        """What the gateway asks before it serves: the proof shows that this process holds the site's key."""
        tools = self._ready()
        with self._lock:
            database = self._crosswalk.answers()
        return {
            "protecting": True,
            "profile": tools.deidentifier.profile.label,
            "database": database,
            "proof": hmac.new(tools.proof_key, b"senogate status\0" + nonce, hashlib.sha256).hexdigest(),
        }

    def _decide(self, instance: bytes) -> Verdict:
        try:
            with self._lock:
                return self._admit(instance)
        except Refused as refused:
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
            return HELD
        self._commit(deidentified)
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
        self._commit(who)
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

    def _commit(self, made: Deidentified) -> None:
        """Commit what the instance's pseudonyms stand for, before the instance is released."""
        identity = asdict(made.identity)
        originals: dict[Kind, tuple[str, object]] = {
            "study": (made.study_instance_uid, identity),
            "series": (made.series_instance_uid, identity["series_instance_uid"]),
            "instance": (made.sop_instance_uid, identity["sop_instance_uid"]),
        }
        known = [pseudonym for pseudonym, _ in originals.values() if pseudonym in self._committed]
        rows = [self._sealed(made, kind, *row) for kind, row in originals.items() if row[0] not in known]
        if not self._crosswalk.commit(rows, known, self._alias_of(made)):
            self._crosswalk.commit([self._sealed(made, kind, *row) for kind, row in originals.items()])
        self._remember(made.study_instance_uid, made.series_instance_uid)

    def _alias_of(self, made: Deidentified) -> str:
        """The pseudonym that the Patient ID would have without its issuer; empty where it has none."""
        identity = made.identity
        if not (identity.issuer_of_patient_id and identity.patient_id):
            return ""
        raw = identity.raw.get("patient_id")  # hexadecimal, where it is not plain ASCII
        written = bytes.fromhex(raw).decode("latin-1") if raw else identity.patient_id
        alias = self._ready().deidentifier.pseudonyms.patient_id(written)
        return alias if alias != made.patient_id else ""

    def _sealed(self, made: Deidentified, kind: Kind, pseudonym: str, original: object) -> SealedIdentity:
        plain = json.dumps(original, default=_text).encode()
        sealed = seal(self._ready().crosswalk_public_key, plain, pseudonym.encode())
        return SealedIdentity(pseudonym, kind, sealed, made.study_instance_uid, made.patient_id)

    def _remember(self, *pseudonyms: str) -> None:
        for pseudonym in pseudonyms:
            self._committed[pseudonym] = None
        while len(self._committed) > _REMEMBERED:
            self._committed.popitem(last=False)


def _digest(key: bytes, sop_instance_uid: str, instance: bytes) -> bytes:
    """The same for an instance that is sent again: keyed, over its dataset. File Meta Information tells who sent it."""
    _, start = part10.read_meta(instance)
    mac = hmac.new(key, b"senogate spool\0" + sop_instance_uid.encode() + b"\0", hashlib.sha256)
    mac.update(memoryview(instance)[start:])
    return mac.digest()


def _cause(error: Exception) -> str:
    """What may be said of an error: our own messages name no value, other people's might."""
    return str(error) if isinstance(error, SenogateError) else type(error).__name__


def _text(value: object) -> str:
    """Identities may hold the raw bytes of a name in its own character set."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    raise TypeError(type(value).__name__)
