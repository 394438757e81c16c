"""The one function the others call: the bytes of an instance as it came to bytes that may be stored."""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from deidentification import fragments, part10, pixel_data, pixels, residue, seal, stored, visual_features
from deidentification.actions import Subject
from deidentification.identity import TAGS, Identity, read_identity
from deidentification.part10 import encode
from deidentification.pixel_data import NOTHING, Dataset
from deidentification.pixels import Pixels
from deidentification.profile import PATIENT_ID, Profile
from deidentification.pseudonym import Keys, Pseudonyms, is_standard_uid
from deidentification.refusal import Reason, Refused
from deidentification.rewrite import Insertion, Rewriter
from deidentification.rules import CONTENT_SEQUENCE, Rule
from deidentification.seal import Kind
from deidentification.source import Source, as_bytes, open_source
from deidentification.statement import state

__all__ = ["Deidentified", "Deidentifier", "Identity", "Pixels", "Reason", "Refused"]

_PATIENT_NAME = 0x00100010
_SOP_CLASS_UID = 0x00080016
_UIDS = {"sop_instance_uid": 0x00080018, "study_instance_uid": 0x0020000D, "series_instance_uid": 0x0020000E}
_WANTED = frozenset(TAGS) | pixels.WANTED | visual_features.WANTED | {fragments.EXTENDED_OFFSET_TABLE}
_BEHIND_WANTED = max(_WANTED) + 1
_STORED = "1.2.840.10008.5.1.4."
_REFERENCED_STUDIES = 0x00081110  # of type 2 in reports, and empty there; elsewhere it must not be empty
_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
_SHELLS = "1.2.840.10008.5.1.4.1.1.481."  # radiotherapy, of which the allow-list would leave a shell


@dataclass(frozen=True, slots=True)
class Deidentified:
    """An instance that may be stored, whose it was, and the pseudonyms by which it goes."""

    instance: bytes
    identity: Identity
    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str


class Deidentifier:
    """De-identifies instances under one profile with one set of keys. It keeps nothing between calls."""

    def __init__(
        self,
        keys: Keys,
        profile: Profile,
        *,
        max_instance_bytes: int = 2 * 1024**3,
        max_inflated_bytes: int = 512 * 1024**2,
    ) -> None:
        self.profile = profile
        self.pseudonyms = Pseudonyms(keys)
        self.proof_key = keys.proof
        self._max_instance_bytes = max_instance_bytes
        self._max_inflated_bytes = max_inflated_bytes
        self._meta = part10.Meta(profile.label)
        images = {tag: rule for tag, rule in profile.rules.items() if tag != _REFERENCED_STUDIES}
        self._rules = {True: profile.rules, False: images}  # by whether it is a report
        self._outermost = {
            (is_report, was_seen): _of_outermost(rules, was_seen)
            for is_report, rules in self._rules.items()
            for was_seen in (True, False)
        }
        self._statements = {
            (explicit, looked): state(profile, explicit, looked)
            for explicit in (True, False)
            for looked in Pixels
        }

    def deidentify(self, instance: bytes | memoryview, looked: Pixels = Pixels.UNSEEN) -> Deidentified:
        """De-identify a Part 10 file (PS3.15 Annex E). The same bytes give the same bytes.

        Pixel data is taken over as it lies and never decoded; frames of the JPEG family lose their comments.
        `looked` tells what was done here about text in it: unless that is UNSEEN, such pixels are let through,
        and the proof covers them. Raises Refused, and nothing else, for an instance that can't be de-identified
        with certainty.
        """
        if len(instance) > self._max_instance_bytes:
            raise Refused(Reason.INSTANCE_TOO_LARGE)
        data = as_bytes(instance)
        try:
            return self._deidentify(data, looked)
        except struct.error:  # the head of an element goes past the end
            raise Refused(Reason.TRUNCATED) from None

    def recognise(self, instance: bytes | memoryview) -> Deidentified:
        """Who an instance is about, and by which pseudonyms; nothing is rewritten, so `instance` is empty.

        Raises Refused.
        """
        _, identity = self._identify(instance)
        _require_identity(identity)
        return _made(b"", identity, self._subject_of(identity))

    def identify(self, instance: bytes | memoryview) -> Identity:
        """Who an instance says that it is about, whether or not it could be stored. Raises Refused."""
        return self._identify(instance)[1]

    def _identify(self, instance: bytes | memoryview) -> tuple[Source, Identity]:
        try:
            source = self._open(as_bytes(instance))
        except struct.error:
            raise Refused(Reason.TRUNCATED) from None
        return source, read_identity(source.values)

    def carries_proof(self, instance: bytes | memoryview) -> bool:
        """Whether the instance was de-identified or made here; only its pixel data may have changed since."""
        found = part10.read_proof(instance)
        return found is not None and seal.verify(self.proof_key, instance, *found)

    def is_proven(self, descriptor: int) -> bool:
        """Whether an open file carries a proof; read from it is only what the proof covers. Raises OSError."""
        return stored.is_proven(self.proof_key, descriptor)

    def carries_whole_proof(self, instance: bytes | memoryview) -> bool:
        """Whether the instance was made here and not a byte of it has changed since."""
        found = part10.read_proof(instance)
        return (
            found is not None
            and found[0].kind is Kind.WHOLE
            and seal.verify(self.proof_key, instance, *found)
        )

    def uid(self, original: str) -> str:
        """What identifies a study, series or instance afterwards: its pseudonym, or itself where UIDs are retained."""
        retained = self.profile.retains_uids and re.fullmatch(r"[0-9.]{1,64}", original)
        return original if retained else self.pseudonyms.uid(original)

    def prove(self, instance: bytes | memoryview) -> bytes:
        """Give an instance that was made here from pseudonymous data new File Meta Information and a proof.

        Its dataset is left as it is. Raises Refused where its study or patient is no pseudonym of this site.
        """
        source, identity = self._identify(instance)
        _require_identity(identity)
        own = self.profile.retains_uids or self.pseudonyms.is_own_uid(identity.study_instance_uid)
        if not re.fullmatch(r"[0-9.]{1,64}", identity.sop_instance_uid):
            raise Refused(Reason.NO_IDENTITY, _UIDS["sop_instance_uid"])
        if not own or not self.pseudonyms.is_own_patient_id(identity.patient_id):
            raise Refused(Reason.NOT_PSEUDONYMOUS)
        begun = self._meta.begin(identity.sop_class_uid, identity.sop_instance_uid, source.transfer_syntax)
        dataset = memoryview(source.file)[source.start :]
        return self._meta.prove(self.proof_key, Kind.WHOLE, begun, dataset, NOTHING, b"")

    def _deidentify(self, data: bytes, looked: Pixels) -> Deidentified:
        source = self._open(data)
        identity = read_identity(source.values)
        _require_identity(identity)
        self._require_profile(source.values, identity)
        may_name = looked is Pixels.UNSEEN and pixels.may_carry_text(source.values)
        no_image = may_name and pixels.ROWS not in source.values
        if no_image or part10.is_video(source.transfer_syntax):
            raise Refused(Reason.NOT_AN_IMAGE)
        subject = self._subject_of(identity)
        parts = self._rewrite(source, subject, looked)
        if may_name or (
            looked is Pixels.UNSEEN and pixel_data.shows_text(source, parts)
        ):  # not before: what is malformed besides is refused as that
            raise Refused(Reason.PIXELS_MAY_CARRY_TEXT)
        if source.transfer_syntax == part10.DEFLATED:
            parts = Dataset(part10.deflate(b"".join(parts)), NOTHING, b"")
        sop_instance_uid = subject.originals[identity.sop_instance_uid]
        begun = self._meta.begin(identity.sop_class_uid, sop_instance_uid, source.transfer_syntax)
        kind = Kind.HEADER if looked is Pixels.UNSEEN else Kind.WHOLE
        return _made(self._meta.prove(self.proof_key, kind, begun, *parts), identity, subject)

    def _require_profile(self, values: Mapping[int, bytes], identity: Identity) -> None:
        """Refuse what the profile could only leave a face in, or nothing of."""
        if self.profile.refuses_faces and visual_features.may_show_face(values):
            raise Refused(Reason.RECOGNIZABLE_VISUAL_FEATURES)
        if identity.sop_class_uid.startswith(_REPORTS) and not self.profile.keeps_content:
            raise Refused(Reason.STRUCTURED_CONTENT, CONTENT_SEQUENCE)

    def _open(self, data: bytes) -> Source:
        return open_source(data, _WANTED, _BEHIND_WANTED, self._max_inflated_bytes)

    def _subject_of(self, identity: Identity) -> Subject:
        """Who the instance is about."""
        patient_id, issuer = identity.patient
        pseudonyms = self.pseudonyms
        subject = Subject(
            pseudonyms=pseudonyms,
            patient_id=pseudonyms.patient_id(patient_id, issuer),
            issuer=issuer,
            days=pseudonyms.days(patient_id, issuer),
            codes=self.profile.codes,
            code_values=self.profile.code_values,
        )
        for name in _UIDS:
            original = getattr(identity, name)
            subject.originals[original] = self.uid(original)
        return subject

    def _rewrite(self, source: Source, subject: Subject, looked: Pixels) -> Dataset:
        """The dataset rewritten, and searched for what must not be in it."""
        suspects = residue.find_suspects(source.values, subject.patient_id)
        head, end = self._rewrite_head(source, subject, looked)
        met = residue.search(head, suspects)
        if met:  # drop the texts that hold one; what then remains must have a reason
            subject.suspects = met
            head, end = self._rewrite_head(source, subject, looked)
            if residue.holds_unexplained(head, subject.explained, met):
                raise Refused(Reason.IDENTITY_REMAINS)
        if residue.holds_uid(head, (old for old, new in subject.originals.items() if old != new)):
            raise Refused(Reason.IDENTITY_REMAINS)
        return pixel_data.add_pixels(head, source, end)

    def _rewrite_head(self, source: Source, subject: Subject, looked: Pixels) -> tuple[bytes, int]:
        """The dataset up to its pixel data, and the offset where that begins or the data ends."""
        pseudonym = subject.patient_id.encode("ascii")
        insertions = (
            Insertion(_PATIENT_NAME, encode(_PATIENT_NAME, b"PN", pseudonym, source.explicit)),
            Insertion(PATIENT_ID, encode(PATIENT_ID, b"LO", pseudonym, source.explicit)),
            *self._statements[source.explicit, looked],
        )
        if subject.suspects:
            for insertion in insertions:
                subject.explain(insertion.element)
        is_report = source.values[_SOP_CLASS_UID].startswith(_REPORTS.encode())
        rules = self._rules[is_report]
        rewriter = Rewriter(
            source.data, source.read, rules, self.profile.private_rules, subject, explicit=source.explicit
        )
        limit = len(source.data)
        outermost = self._outermost[is_report, looked is not Pixels.UNSEEN]
        end = rewriter.rewrite(source.position, limit, pixel_data.FIRST_TAG, outermost, insertions)
        return b"".join(rewriter.out), end


def _of_outermost(rules: Mapping[int, Rule], pixels_were_seen: bool) -> dict[int, Rule]:
    """The rules of the outermost dataset, without those of what is put in anew.

    That is name and number of the patient, and Burned In Annotation where the pixels were looked at.
    """
    anew = {_PATIENT_NAME, PATIENT_ID} | ({pixels.BURNED_IN_ANNOTATION} if pixels_were_seen else set())
    return {tag: rule for tag, rule in rules.items() if tag not in anew} | pixels.OVERLAY_RULES


def _require_identity(identity: Identity) -> None:
    """Refuse what could not be stored: without its UIDs, or of no storage class of the standard."""
    for name, tag in _UIDS.items():
        uid = getattr(identity, name)
        if not uid or "\\" in uid:
            raise Refused(Reason.NO_IDENTITY, tag)
    if not identity.sop_class_uid:
        raise Refused(Reason.NO_IDENTITY, _SOP_CLASS_UID)
    sop_class_uid = identity.sop_class_uid
    if not (sop_class_uid.startswith(_STORED) and is_standard_uid(sop_class_uid)) or sop_class_uid.startswith(
        _SHELLS
    ):
        raise Refused(Reason.SOP_CLASS_NOT_SUPPORTED, _SOP_CLASS_UID)


def _made(instance: bytes, identity: Identity, subject: Subject) -> Deidentified:
    return Deidentified(
        instance=instance,
        identity=identity,
        patient_id=subject.patient_id,
        study_instance_uid=subject.originals[identity.study_instance_uid],
        series_instance_uid=subject.originals[identity.series_instance_uid],
        sop_instance_uid=subject.originals[identity.sop_instance_uid],
        sop_class_uid=identity.sop_class_uid,
    )
