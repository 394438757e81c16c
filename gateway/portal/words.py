"""What pages call the values that interfaces and the archive have: each of a kind, and in the reader's language.

A value that has no word is shown as it is.
"""

from collections.abc import Mapping

from gateway.portal.languages import gettext, marked

WORDS: Mapping[str, Mapping[str, str]] = {
    "task": {
        "quality": marked("quality"),
        "density": marked("density"),
        "lesions": marked("lesions"),
        "risk": marked("risk"),
    },
    "reading": {
        "done": marked("done"),
        "due": marked("waiting"),
        "begun": marked("being read"),
        "not-applicable": marked("not applicable"),
        "failed": marked("failed"),
        "none": marked("no model"),
    },
    "order": {
        "date": marked("newest first"),
        "score": marked("highest score first, of those with one"),
        "arrival": marked("last arrived first"),
    },
    "member": {
        "requested": marked("has asked, and waits for approval"),
        "active": marked("takes part"),
        "revoked": marked("was revoked"),
        "left": marked("has left"),
    },
    "run": {
        "waiting": marked("waits for sites"),
        "running": marked("runs"),
        "done": marked("done"),
        "failed": marked("failed"),
        "stopped": marked("stopped"),
        "offered": marked("offered"),
        "ended": marked("ended"),
    },
    "decision": {"approved": marked("approved"), "refused": marked("refused")},
    "purpose": {
        "public-health": marked("public health"),
        "policy": marked("policy making"),
        "statistics": marked("statistics"),
        "education": marked("education"),
        "research": marked("scientific research"),
        "innovation": marked("development of products and services"),
        "algorithms": marked("training and testing of algorithms"),
        "care-improvement": marked("improvement of care"),
        "care": marked("care"),
        "operation": marked("operation of the site"),
    },
    "job": {
        "evaluation": marked("evaluation"),
        "features": marked("features"),
        "counts": marked("counts"),
    },
    "job state": {
        "submitted": marked("was asked for"),
        "waiting": marked("waits for a steward's approval"),
        "due": marked("waits to be run"),
        "running": marked("runs"),
        "checked": marked("has run; its result is being checked"),
        "released": marked("its result is ready"),
        "refused": marked("was refused"),
        "cancelled": marked("was cancelled"),
        "stopped": marked("was stopped"),
        "failed": marked("failed"),
        "withheld": marked("its result can't be let out"),
    },
    "kind": {"training": marked("training"), "evaluation": marked("evaluation")},
    "absent": {
        "unreachable": marked("could not be reached"),
        "no-answer": marked("did not answer in time"),
        "declined": marked("declined"),
        "failed": marked("failed"),
        "revoked": marked("was revoked"),
        "signature": marked("had not signed"),
        "statement": marked("stated something else"),
        "shape": marked("its weights do not fit"),
        "not-finite": marked("its weights are no numbers"),
        "norm": marked("its weights changed too much"),
    },
    "figure": {
        "area under the curve": marked("area under the curve"),
        "calibration error": marked("calibration error"),
        "quadratic kappa": marked("quadratic kappa"),
        "linear kappa": marked("linear kappa"),
        "kappa": marked("kappa"),
        "accuracy": marked("accuracy"),
        "sensitivity at 0.25 false marks an image": marked("sensitivity at 0.25 false marks an image"),
        "sensitivity at 0.5 false marks an image": marked("sensitivity at 0.5 false marks an image"),
        "sensitivity at 1 false marks an image": marked("sensitivity at 1 false marks an image"),
        "sensitivity at 2 false marks an image": marked("sensitivity at 2 false marks an image"),
        "sensitivity at 1 false positive": marked("sensitivity at 1 false positive"),
        "average precision": marked("average precision"),
        "primary": marked("main figure"),
        "loss": marked("loss"),
    },
    "dimension": {
        "site": marked("site"),
        "vendor": marked("vendor"),
        "age": marked("age"),
        "density": marked("density"),
    },
    "group": {
        "under 40": marked("under 40"),
        "40 to 49": marked("40 to 49"),
        "50 to 59": marked("50 to 59"),
        "60 to 69": marked("60 to 69"),
        "70 and over": marked("70 and over"),
        "not told": marked("not told"),
        "another": marked("another"),
    },
    "PGMI": {
        "Perfect": marked("Perfect"),
        "Good": marked("Good"),
        "Moderate": marked("Moderate"),
        "Inadequate": marked("Inadequate"),
    },
}


def word(value: object, kind: str) -> str:
    """The word for a value, in the language of the request."""
    known = WORDS[kind].get(str(value))
    return gettext(known) if known else str(value)


def headed(text: str) -> str:
    """A text that begins a line: its first letter is large, all others stay."""
    return text[:1].upper() + text[1:]
