"""Transfer syntaxes by what pixels they hold (PS3.5 annex A)."""

EXPLICIT, IMPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"
ENCAPSULATED = "1.2.840.10008.1.2.1.98"  # native frames, a fragment each
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_4 = "1.2.840.10008.1.2.4."
JPEG_BASELINE, JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LOSSLESS_SV1 = (_4 + n for n in ("50", "51", "57", "70"))
JPEG_LS, JPEG_LS_NEAR = _4 + "80", _4 + "81"
JPEG_2000_LOSSLESS, JPEG_2000 = _4 + "90", _4 + "91"
HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K = _4 + "201", _4 + "202", _4 + "203"

NATIVE = frozenset({EXPLICIT, IMPLICIT, DEFLATED})
DCT = frozenset({JPEG_BASELINE, JPEG_EXTENDED})
JPEG = DCT | {JPEG_LOSSLESS, JPEG_LOSSLESS_SV1}
JPEG_LS_BOTH = frozenset({JPEG_LS, JPEG_LS_NEAR})
JPEG_2000_BOTH = frozenset({JPEG_2000_LOSSLESS, JPEG_2000})
HTJ2K_ALL = frozenset({HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K})

CODESTREAMS = JPEG | JPEG_LS_BOTH | JPEG_2000_BOTH | HTJ2K_ALL
"""Those whose frames have a header and an end of their own."""
DECODED = NATIVE | {RLE, ENCAPSULATED, DEFLATED_FRAMES} | CODESTREAMS
"""Those that can be decoded."""
ENCODED = (
    *(
        EXPLICIT,
        DEFLATED,
        JPEG_LOSSLESS_SV1,
        JPEG_LOSSLESS,
        JPEG_LS,
        JPEG_LS_NEAR,
        JPEG_2000_LOSSLESS,
        JPEG_2000,
    ),
    *(HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K, RLE),
)
"""Those that can be encoded, every one without loss.

JPEG-LS near-lossless, JPEG 2000 and HTJ2K let an encoder lose nothing, so it doesn't. The two DCT ones can't, and what
loses is another instance, with a UID of its own (PS3.3 section C.12.4.1.1): those are sent only where they are stored.
"""
LOSSY = DCT | {JPEG_LS_NEAR, JPEG_2000, HTJ2K}
"""Those whose pixels may have been lossy compressed."""
