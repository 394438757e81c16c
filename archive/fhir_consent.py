"""Recorded consents as resources of FHIR R4 (4.0.1), Consent: https://hl7.org/fhir/R4/consent.html."""

from collections.abc import Sequence
from typing import Any

from archive.audit import instant
from archive.consents import Consent, Decision, Scope

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_MEANINGS = {
    Scope.SECONDARY_USE: "Secondary use of health data",
    Scope.DONATION: "Donation of data for research",
    Scope.TRAINING: "Training of models",
}


def to_fhir(consent: Consent, site: str) -> dict[str, Any]:
    """The resource. `site` is the node's public URL, under which its pseudonyms and scopes have their names.

    What a later statement replaced is inactive, as is a withdrawal; the policy is the text that she was shown.
    """
    is_given = consent.decision == Decision.GIVEN
    rule = {"type": "permit" if is_given else "deny", "purpose": [_purpose(consent, site)]}
    return {
        "resourceType": "Consent",
        "id": str(consent.id),
        "meta": {"lastUpdated": instant(consent.recorded_at)},
        "status": "active" if is_given and consent.is_current else "inactive",
        "scope": _concept(f"{_TERMINOLOGY}/consentscope", "research", "Research"),
        "category": [_concept("http://loinc.org", "59284-0", "Consent Document")],
        "patient": {
            "identifier": {"system": f"{site}/patients", "value": consent.patients[0]},
            "type": "Patient",
        },
        "dateTime": instant(consent.stated_at),
        "sourceReference": {"display": consent.evidence},
        "policy": [{"uri": f"urn:sha256:{consent.text_sha256}"}],
        "policyRule": _concept(f"{_TERMINOLOGY}/v3-ActCode", *(_OPT_IN if is_given else _OPT_OUT)),
        "provision": {"provision": [rule]},
    }


_OPT_IN, _OPT_OUT = ("OPTIN", "opt-in"), ("OPTOUT", "opt-out")


def to_bundle(consents: Sequence[Consent], site: str) -> dict[str, Any]:
    """All of them as a Bundle of the type collection."""
    entries = [{"fullUrl": f"urn:uuid:{each.id}", "resource": to_fhir(each, site)} for each in consents]
    return {"resourceType": "Bundle", "type": "collection"} | ({"entry": entries} if entries else {})


def _purpose(consent: Consent, site: str) -> dict[str, str]:
    """A coding of the site's own: no code system of HL7's tells these apart."""
    meaning = _MEANINGS[Scope(consent.scope)]
    return {"system": f"{site}/consent-scopes", "code": consent.scope, "display": meaning}


def _concept(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}]}
