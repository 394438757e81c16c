"""Why an instance is not de-identified: reasons with stable codes, and what a sender can do about each."""

from enum import Enum


class Reason(Enum):
    """A stable code and the sentence that says what to do."""

    NOT_DICOM = "not-dicom", "Send a DICOM file with a preamble and File Meta Information (PS3.10)."
    TRUNCATED = "truncated", "The bytes end within an element; send the instance again, whole."
    INSTANCE_TOO_LARGE = "instance-too-large", "The instance exceeds the size that this site accepts."
    TRANSFER_SYNTAX_NOT_SUPPORTED = (
        "transfer-syntax-not-supported",
        "Send the instance uncompressed, or in a compressed transfer syntax for still images.",
    )
    SOP_CLASS_NOT_SUPPORTED = (
        "sop-class-not-supported",
        "Send an instance of a storage SOP class of the standard.",
    )
    BAD_DEFLATE = "bad-deflate", "The deflated dataset can't be inflated; send it uncompressed."
    DEFLATE_BOMB = (
        "deflate-bomb",
        "The deflated dataset inflates beyond what this site accepts; send it uncompressed.",
    )
    UNKNOWN_VR = (
        "unknown-vr",
        "An element has a value representation that PS3.5 does not know; correct the sender.",
    )
    BAD_LENGTH = "bad-length", "An element has a length that it can't have; correct the sender."
    BAD_STRUCTURE = "bad-structure", "Items and delimiters do not match (PS3.5 7.5); correct the sender."
    TAG_ORDER = "tag-order", "Elements are out of order or repeated (PS3.5 7.1); correct the sender."
    NESTING_TOO_DEEP = "nesting-too-deep", "Sequences are nested more than 16 deep; correct the sender."
    NO_IDENTITY = "no-identity", "A UID that identifies the instance is missing or empty; correct the sender."
    PIXEL_DATA_TOO_SHORT = (
        "pixel-data-too-short",
        "The pixel data is missing or shorter than its description says.",
    )
    PIXEL_DATA_AMBIGUOUS = (
        "pixel-data-ambiguous",
        "What describes the pixel data is missing or contradicts its length.",
    )
    BAD_CODESTREAM = (
        "bad-codestream",
        "A frame is not what its transfer syntax says, or it is damaged; correct the sender.",
    )
    PIXELS_MAY_CARRY_TEXT = (
        "pixels-may-carry-text",
        "The pixels of such an instance may show a name; it is held until they are cleaned.",
    )
    NOT_AN_IMAGE = (
        "not-an-image",
        "A document or a video can't be cleaned of names; send still images.",
    )
    RECOGNIZABLE_VISUAL_FEATURES = (
        "recognizable-visual-features",
        "A face may be recognized in such an instance; send one that says it is not so, or none.",
    )
    STRUCTURED_CONTENT = (
        "structured-content",
        "The profile of this site keeps no content of reports; a report would be left empty.",
    )
    IDENTITY_REMAINS = (
        "identity-remains",
        "Identity was still found after de-identification; report it with this code.",
    )
    NOT_PSEUDONYMOUS = (
        "not-pseudonymous",
        "Only a result for a pseudonymous study of this site can be proven.",
    )

    advice: str

    def __new__(cls, code: str, advice: str) -> "Reason":
        reason = object.__new__(cls)
        reason._value_ = code
        reason.advice = advice
        return reason

    @property
    def code(self) -> str:
        """The stable, kebab-case code; the same as the value of the member."""
        return self.value


class Refused(Exception):
    """An instance that is not de-identified, and so must not be stored.

    `tag` is the attribute at fault as "(gggg,eeee)" where one is. No value of the instance is ever part of
    it.
    """

    def __init__(self, reason: Reason, tag: int | None = None) -> None:
        self.reason = reason
        self.tag = None if tag is None else f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
        super().__init__(reason, tag)

    def __str__(self) -> str:
        where = f" at {self.tag}" if self.tag else ""
        return f"{self.reason.code}{where}: {self.reason.advice}"
