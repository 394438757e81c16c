"""Writing a dataset anew by rules: unchanged stretches are copied as they lie, the rest is dropped or
replaced.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from deidentification.actions import Subject, empty
from deidentification.elements import (
    DEEPEST,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    Read,
    read_explicit,
    read_item,
    reader_of_unknown,
    skip,
)
from deidentification.part10 import encode, encode_head
from deidentification.refusal import Reason, Refused
from deidentification.rules import PrivateRules, Rule

_ITEM_HEAD = encode_head(ITEM, b"", UNDEFINED, explicit=False)
_ITEM_TAIL = encode_head(ITEM_END, b"", 0, explicit=False)
_SEQUENCE_TAIL = encode_head(SEQUENCE_END, b"", 0, explicit=False)
_PAST_ALL = 1 << 32
_CREATOR = Rule(b"LO", frozenset({b"LO", b""}), lambda subject, value: value)


class Insertion(NamedTuple):
    """An element that is written whether or not there was one. Its tag has no rule, so that one that was
    there goes.
    """

    tag: int
    element: bytes


_NO_MORE = Insertion(_PAST_ALL, b"")


class Rewriter:
    """Rewrites one dataset. `out` holds what was written so far, in order."""

    def __init__(
        self,
        data: bytes,
        read: Read,
        rules: Mapping[int, Rule],
        private_rules: PrivateRules,
        subject: Subject,
        *,
        explicit: bool,
    ) -> None:
        self.out: list[bytes] = []
        self._data = data
        self._read = read
        self._explicit = explicit  # how it is written
        self._copies = explicit is (read is read_explicit)  # whether what stays is copied as it lies
        self._rules = rules
        self._private_rules = private_rules
        self._subject = subject

    def rewrite(
        self,
        position: int,
        limit: int,
        stop: int,
        rules: Mapping[int, Rule],
        insertions: Sequence[Insertion] = (_NO_MORE,),
        depth: int = 0,
    ) -> int:
        """Rewrite elements up to `limit`, or to the first tag that is not below `stop`.

        Returns the offset reached. `insertions` are in the order of their tags. Raises Refused for elements
        that can't be, and struct.error where the head of one goes past the end of the data.
        """
        data, read, out, subject, copies = self._data, self._read, self.out, self._subject, self._copies
        waiting = iter(insertions)
        insertion = next(waiting)
        blocks: dict[int, Mapping[int, Rule]] | None = {} if self._private_rules else None
        run, last = position, -1  # what lies from `run` on is not written yet
        while position < limit:
            start = position
            tag, vr, length, value_at = read(data, position)
            if tag >= stop:
                break
            if tag <= last:
                raise Refused(Reason.TAG_ORDER, tag)
            last = tag
            while tag > insertion.tag:
                out += data[run:start], insertion.element
                run, insertion = start, next(waiting, _NO_MORE)
            rule = rules.get(tag)
            if blocks is not None and tag & 0x10000:
                rule = self._find_private(blocks, tag, data[value_at : value_at + min(length, 64)])
            if length == UNDEFINED or (rule is not None and rule[2] is None):
                out.append(data[run:start])
                run = position = self._pass_nested(tag, vr, length, value_at, limit, rule, depth)
                continue
            position = value_at + length
            if position > limit:
                raise Refused(Reason.TRUNCATED, tag)
            replaced = b""
            if rule is not None and (vr in rule[1] or vr == b"UN"):
                value = data[value_at:position]
                new = rule[2](subject, value)  # type: ignore[misc]  # None is a sequence's, which was passed above
                if subject.suspects and new:
                    subject.explain(new)
                if new is value and copies and not length & 1 and vr != b"UN":
                    continue
                if new is not None:
                    replaced = encode(tag, rule[0], new, self._explicit)
            if run < start:
                out.append(data[run:start])
            if replaced:
                out.append(replaced)
            run = position
        out.append(data[run:position])
        while insertion.element:
            out.append(insertion.element)
            insertion = next(waiting, _NO_MORE)
        return position

    def _find_private(self, blocks: dict[int, Mapping[int, Rule]], tag: int, value: bytes) -> Rule | None:
        """The rule of a safe private element by the creator that reserved its block (PS3.5 7.8.1).

        `blocks` are those reserved so far in the dataset at hand.
        """
        element = tag & 0xFFFF
        if element > 0xFF:
            return blocks.get(tag >> 8, {}).get(element & 0xFF)
        safe = self._private_rules.get((tag >> 16, value.strip(b" \0")))
        if safe is None or element < 0x10:
            return None
        blocks[tag >> 16 << 8 | element] = safe
        return _CREATOR

    def _pass_nested(
        self, tag: int, vr: bytes, length: int, position: int, limit: int, rule: Rule | None, depth: int
    ) -> int:
        """Rebuild a sequence that has a rule, leave out anything else; returns the offset behind it."""
        stop = limit if length == UNDEFINED else position + length
        if stop > limit:
            raise Refused(Reason.TRUNCATED, tag)
        if rule is not None and rule.action is empty:
            self.out.append(encode(tag, rule.vr, b"", self._explicit))
        elif rule is not None and rule.action is None and vr in (b"SQ", b"", b"UN"):
            within = self._within_unknown(position) if vr == b"UN" else self
            return within._rebuild(tag, position, stop, length == UNDEFINED, depth + 1)
        return skip(self._data, position, limit, vr, self._read, depth + 1) if length == UNDEFINED else stop

    def _within_unknown(self, position: int) -> "Rewriter":
        """What rewrites the items of a UN-encoded sequence, which lie in implicit VR (PS3.5 6.2.2)."""
        read = reader_of_unknown(self._data, position)
        within = Rewriter(
            self._data, read, self._rules, self._private_rules, self._subject, explicit=self._explicit
        )
        within.out = self.out
        return within

    def _rebuild(self, tag: int, position: int, limit: int, undefined: bool, depth: int) -> int:
        """Rewrite each item of a sequence. Both are written with undefined length (PS3.5 7.5)."""
        if depth > DEEPEST:
            raise Refused(Reason.NESTING_TOO_DEEP, tag)
        self.out.append(encode_head(tag, b"SQ", UNDEFINED, self._explicit))
        while undefined or position < limit:
            found, length, position = read_item(self._data, position, limit)
            if found == SEQUENCE_END:
                if not undefined and position != limit:
                    raise Refused(Reason.BAD_STRUCTURE, tag)
                break
            self.out.append(_ITEM_HEAD)
            stop = limit if length == UNDEFINED else position + length
            position = self.rewrite(position, stop, ITEM, self._rules, depth=depth)
            position = self._end_item(position, stop, length == UNDEFINED)
            self.out.append(_ITEM_TAIL)
        self.out.append(_SEQUENCE_TAIL)
        return position

    def _end_item(self, position: int, stop: int, undefined: bool) -> int:
        """The offset behind an item whose last element ends at `position`."""
        if undefined:
            tag, _, length, position = self._read(self._data, position)
            if tag == ITEM_END and length == 0 and position <= stop:
                return position
        elif position == stop:
            return position
        raise Refused(Reason.BAD_STRUCTURE, ITEM_END)
