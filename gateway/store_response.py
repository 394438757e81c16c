"""The Store Instances Response Module (PS3.18 section I.2) and the status beside it (table 10.5.3-1)."""

from collections.abc import Sequence
from http import HTTPStatus

from archive.attributes import tag
from archive.json_values import Attribute, Attributes
from gateway.door import FailureReason, Outcome

COERCED = (
    0xB000  # Warning Reason (0008,1196): attributes were changed, here by de-identification (table I.2-1)
)


def status_of(outcomes: Sequence[Outcome]) -> HTTPStatus:
    """200 where all were stored, 202 where some were or are held until they are cleaned, 409 where none; 503 where
    the site could take none just now.
    """
    failures = [outcome.failure for outcome in outcomes if outcome.failure is not None]
    if not failures:
        return HTTPStatus.ACCEPTED if any(outcome.is_held for outcome in outcomes) else HTTPStatus.OK
    if len(failures) < len(outcomes):
        return HTTPStatus.ACCEPTED
    exhausted = set(failures) == {FailureReason.OUT_OF_RESOURCES}
    return HTTPStatus.SERVICE_UNAVAILABLE if exhausted else HTTPStatus.CONFLICT


def render_outcomes(outcomes: Sequence[Outcome], base_url: str) -> Attributes:
    """The attributes of what was stored, under its pseudonyms, and of what was not, under its sender's UIDs."""
    stored = [outcome for outcome in outcomes if outcome.failure is None]
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    studies = {outcome.resource.study_instance_uid for outcome in stored if not outcome.is_held}
    response: Attributes = {}
    if len(studies) == 1:
        response[tag("RetrieveURL")] = _value("UR", f"{base_url}/studies/{studies.pop()}")
    sequences = {
        "ReferencedSOPSequence": [_stored(outcome, base_url) for outcome in stored],
        "FailedSOPSequence": [_failed(outcome) for outcome in failed if outcome.sop_class_uid],
        "OtherFailuresSequence": [_reason(outcome) for outcome in failed if not outcome.sop_class_uid],
    }
    response |= {tag(keyword): {"vr": "SQ", "Value": items} for keyword, items in sequences.items() if items}
    return response


def _stored(outcome: Outcome, base_url: str) -> Attributes:
    """A reference, with the address at which the instance can be retrieved where it can be by now."""
    if outcome.is_held:
        return _reference(outcome)
    warning = {tag("WarningReason"): _value("US", COERCED)} if outcome.is_coerced else {}
    address = {tag("RetrieveURL"): _value("UR", base_url + outcome.resource.path)}
    return _reference(outcome) | address | warning


def _failed(outcome: Outcome) -> Attributes:
    return _reference(outcome) | _reason(outcome)


def _reference(outcome: Outcome) -> Attributes:
    return {
        tag("ReferencedSOPClassUID"): _value("UI", outcome.sop_class_uid),
        tag("ReferencedSOPInstanceUID"): _value("UI", outcome.resource.sop_instance_uid),
    }


def _reason(outcome: Outcome) -> Attributes:
    return {tag("FailureReason"): _value("US", int(outcome.failure or 0))}


def _value(vr: str, value: object) -> Attribute:
    return {"vr": vr, "Value": [value]}
