"""What Clean Structured Content asks of a report's values beyond their VR (PS3.15 E.3.4).

A content item's concept name says what its date or number is of; it comes before the value (PS3.5 7.1), and
the unit of a number right before the number.
"""

from collections.abc import Callable

from deidentification.actions import DUMMIES, Action, Subject

# Date of Birth, as TID 1007 and others name it.
_BIRTH_DATES = frozenset(b"121031 184099003 21112-8".split())
_YEARS = frozenset(b"a a_j a_t a_g".split())  # UCUM
_OLDEST = 89  # HIPAA 164.514(b)(2)(i)(C)


def _forget_birth_date(vr: str) -> Callable[[Action], Action]:
    """A date of birth becomes a dummy; any other date is treated as it would be elsewhere."""

    def make(otherwise: Action) -> Action:
        def forget(subject: Subject, value: bytes) -> bytes | None:
            if subject.concept not in _BIRTH_DATES:
                return otherwise(subject, value)
            return value if value == DUMMIES[vr] else DUMMIES[vr]

        return forget

    return make


def _cap_age(otherwise: Action) -> Action:
    """A number of years above 89 is given as 90."""

    def cap(subject: Subject, value: bytes) -> bytes | None:
        kept = otherwise(subject, value)
        if not kept or subject.concept not in _YEARS:
            return kept
        old = any(float(number) > _OLDEST for number in kept.strip(b" \0").split(b"\\") if number.strip())
        return b"90" if old and kept.strip(b" \0") != b"90" else kept

    return cap


def _leave_out_years(otherwise: Action) -> Action:
    """The exact form of a number of years would undo that it is capped."""
    return lambda subject, value: None if subject.concept in _YEARS else otherwise(subject, value)


# What is put around the action of an attribute, by its tag.
AROUND: dict[int, Callable[[Action], Action]] = {
    0x0040A120: _forget_birth_date("DT"),
    0x0040A121: _forget_birth_date("DA"),
    0x0040A30A: _cap_age,  # Numeric Value
    0x0040A161: _leave_out_years,  # Floating Point Value
    0x0040A162: _leave_out_years,  # Rational Numerator Value
    0x0040A163: _leave_out_years,  # Rational Denominator Value
}
