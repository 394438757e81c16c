"""Lookup tables are no longer than their descriptors say (PS3.3 C.7.6.3.1.5, C.11.1.1.1): nothing rides behind."""

from collections.abc import Callable

from deidentification.actions import Action, Subject

# Data by descriptor: the palettes and LUT Data.
_PAIRS = {
    0x00281101: 0x00281201,
    0x00281102: 0x00281202,
    0x00281103: 0x00281203,
    0x00283002: 0x00283006,
}


def _remember(data_tag: int) -> Callable[[Action], Action]:
    def make(otherwise: Action) -> Action:
        def remember(subject: Subject, value: bytes) -> bytes | None:
            if len(value) == 6:
                subject.descriptors[data_tag] = value
            return otherwise(subject, value)

        return remember

    return make


def _cut(data_tag: int) -> Callable[[Action], Action]:
    """A table without a descriptor goes; what is longer than the descriptor says is cut."""

    def make(otherwise: Action) -> Action:
        def cut(subject: Subject, value: bytes) -> bytes | None:
            descriptor = subject.descriptors.pop(data_tag, None)
            if descriptor is None:
                return None if value else value
            longest = _length(descriptor, len(value))
            return otherwise(subject, value if len(value) <= longest else value[:longest])

        return cut

    return make


def _length(descriptor: bytes, length: int) -> int:
    """The bytes that a table may have. Entries of 8 bits lie in bytes or, with some writers, in words."""
    entries = int.from_bytes(descriptor[:2], "little") or 1 << 16
    bits = int.from_bytes(descriptor[4:], "little")
    in_bytes = bits <= 8 and length < 2 * entries
    return entries + entries % 2 if in_bytes else 2 * entries


# What is put around the action of an attribute, by its tag.
AROUND: dict[int, Callable[[Action], Action]] = {
    **{descriptor: _remember(data) for descriptor, data in _PAIRS.items()},
    **{data: _cut(data) for data in _PAIRS.values()},
}
