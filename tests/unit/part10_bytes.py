"""Part 10 files made by hand, byte by byte, for tests that must not depend on what writes them."""

import struct

EXPLICIT, IMPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
MG_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
LONG_VRS = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
UNDEFINED = 0xFFFFFFFF
_WORDS = {
    **dict.fromkeys(["AT", "OW", "SS", "US"], 2),
    **dict.fromkeys(["FL", "OF", "OL", "SL", "UL"], 4),
    **dict.fromkeys(["FD", "OD", "OV", "SV", "UV"], 8),
}

Elements = dict[int, tuple[str, bytes]]


def element(tag: int, vr: str, value: bytes, explicit: bool = True, length: int | None = None) -> bytes:
    """One data element; `length` may lie."""
    if length is None:
        value += b" " * (len(value) % 2)
        length = len(value)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return head + struct.pack("<L", length) + value
    if vr in LONG_VRS:
        return head + vr.encode() + struct.pack("<HL", 0, length) + value
    return head + vr.encode() + struct.pack("<H", length) + value


def item(content: bytes, undefined: bool = False) -> bytes:
    """An item of a sequence, or a fragment."""
    if undefined:
        return (
            struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED) + content + struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
        )
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def sequence(
    tag: int, *contents: bytes, explicit: bool = True, undefined: bool = False, vr: str = "SQ"
) -> bytes:
    """A sequence of items with the given contents, all lengths defined or all undefined."""
    value = b"".join(item(content, undefined) for content in contents)
    if undefined:
        return element(tag, vr, value + SEQUENCE_END, explicit, UNDEFINED)
    return element(tag, vr, value, explicit)


def dataset(elements: Elements, explicit: bool = True) -> bytes:
    """Elements in the order of their tags."""
    return b"".join(element(tag, *elements[tag], explicit) for tag in sorted(elements))


def part10(
    body: bytes, transfer_syntax: str = EXPLICIT, preamble: bytes = bytes(128), extra: bytes = b""
) -> bytes:
    """A file around an encoded dataset; `extra` is more of the File Meta Information."""
    meta = (
        element(0x00020001, "OB", b"\0\1")
        + element(0x00020002, "UI", MG_FOR_PRESENTATION.encode())
        + element(0x00020003, "UI", b"1.2.3.4.5.6.7.8.9")
        + element(0x00020010, "UI", transfer_syntax.encode())
        + extra
    )
    return preamble + b"DICM" + element(0x00020000, "UL", struct.pack("<L", len(meta))) + meta + body


def big_endian(body: bytes) -> bytes:
    """Elements in explicit VR little endian as they are in big endian, at any depth (PS3.5-2016 A.3)."""
    out, position = b"", 0
    while position < len(body):
        group, number = struct.unpack_from("<HH", body, position)
        out += struct.pack(">HH", group, number)
        vr, form, position = body[position + 4 : position + 6].decode("latin-1"), "H", position + 6
        if group == 0xFFFE:
            vr, form, position = "SQ", "L", position - 2  # what follows an item's head are elements again
        else:
            out += vr.encode()
            if vr in LONG_VRS:
                out, form, position = out + bytes(2), "L", position + 2
        (length,) = struct.unpack_from("<" + form, body, position)
        out += struct.pack(">" + form, length)
        position += struct.calcsize("<" + form)
        if vr != "SQ":
            value, size = body[position : position + length], _WORDS.get(vr, 1)
            out += b"".join(value[at : at + size][::-1] for at in range(0, len(value), size))
            position += length
    return out


def jpeg(entropy_coded: bytes = b"ABCD") -> bytes:
    """The smallest frame that is walked as a JPEG is; it decodes to nothing."""
    return b"\xff\xd8\xff\xda\0\x08\1\1\0\0\x3f\0" + entropy_coded + b"\xff\xd9"


def mammogram(**changes: tuple[str, bytes] | None) -> Elements:
    """A small mammogram full of identity; `changes` by tag in hex ("x00100020") replace elements, None takes
    one out.
    """
    elements: Elements = {
        0x00080005: ("CS", b"ISO_IR 100"),
        0x00080016: ("UI", MG_FOR_PRESENTATION.encode()),
        0x00080018: ("UI", b"1.2.752.99.1.2.3.4\0"),
        0x00080020: ("DA", b"20240229"),
        0x00080030: ("TM", b"101530.5"),
        0x00080050: ("SH", b"ACC-4711-0815"),
        0x00080060: ("CS", b"MG"),
        0x00080068: ("CS", b"FOR PRESENTATION"),
        0x00080070: ("LO", b"HOLOGIC, Inc."),
        0x00080090: ("PN", b"REFERRING^DOCTOR"),
        0x0008103E: ("LO", b"L CC of MUSTERMANN"),
        0x00100010: ("PN", b"MUSTERMANN^ERIKA"),
        0x00100020: ("LO", b"PATIENT-12345"),
        0x00100030: ("DA", b"19551203"),
        0x00100040: ("CS", b"F"),
        0x00101010: ("AS", b"068Y"),
        0x00185101: ("CS", b"CC"),
        0x0020000D: ("UI", b"1.2.752.99.1.2"),
        0x0020000E: ("UI", b"1.2.752.99.1.2.3"),
        0x00200013: ("IS", b"1"),
        0x00200062: ("CS", b"L"),
        0x00280002: ("US", b"\1\0"),
        0x00280004: ("CS", b"MONOCHROME2"),
        0x00280010: ("US", b"\4\0"),
        0x00280011: ("US", b"\3\0"),
        0x00280100: ("US", b"\x10\0"),
        0x7FE00010: ("OW", bytes(range(24))),
    }
    for name, change in changes.items():
        tag = int(name[1:], 16)
        if change is None:
            elements.pop(tag, None)
        else:
            elements[tag] = change
    return elements
