"""The codes of image quality: real ones where DICOM or SNOMED CT has them, else 99SENOGATE (docs/image-quality.md)."""

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as StandardCode

from archive.findings import Code

SCHEME = "99SENOGATE"


def _standard(code: StandardCode) -> Code:
    return Code(code.value, code.scheme_designator, code.meaning)


def _own(value: str, meaning: str) -> Code:
    return Code(value, SCHEME, meaning)


MM = Code("mm", "UCUM", "mm")
MM2 = Code("mm2", "UCUM", "square millimeter")
DEGREE = Code("deg", "UCUM", "Degree")
PERCENT = Code("%", "UCUM", "Percent")
DECIBEL = Code("dB", "UCUM", "decibel")
RATIO = Code("1", "UCUM", "no units")

MET = _standard(codes.SCT.Yes)

QUALITY_ASSESSMENT = _standard(codes.DCM.QualityAssessment)
MEETS = _standard(codes.DCM.UsableMeetsTheQualityControlStandard)
FALLS_SHORT = _standard(codes.DCM.UsableDoesNotMeetTheQualityControlStandard)
UNUSABLE = _standard(codes.DCM.UnusableQualityRendersImageUnusable)
"""PS3.16 CID 6044, Image Quality Assessment Type."""

POSITIONING = _standard(codes.DCM.Positioning)
MEDIAL_TISSUE_MISSING = _standard(codes.DCM.CCNotAllMedialTissueVisualized)
NIPPLE_NOT_IN_PROFILE = _standard(codes.DCM.NippleNotInProfile)
INSUFFICIENT_PECTORAL = _standard(codes.DCM.MLOInsufficientPectoralMuscle)
NIPPLE_LINES_DIFFER = _standard(codes.DCM.CCPosteriorNippleLineDoesNotMeasureWithin1cmOfMLO)
MOTION_BLUR = _standard(codes.DCM.MotionBlur)
OVER_EXPOSED = _standard(codes.DCM.OverExposed)
UNDER_EXPOSED = _standard(codes.DCM.UnderExposed)
ARTEFACTS = _standard(codes.DCM.ArtifactsOtherThanGridOrDetectorArtifact)
MARKER_INCORRECT = _standard(codes.DCM.ViewAndLateralityMarkerIsIncorrect)
NO_IMAGE = _standard(codes.DCM.NoImage)
"""PS3.16 CID 6041, Mammography Image Quality Finding: what a criterion answers where it is not met."""

NIPPLE_IN_PROFILE = _standard(codes.SCT.NippleInProfile)
WHOLE_BREAST = _own("whole-breast", "Whole breast imaged")
PECTORAL_TO_NIPPLE = _own("pectoral", "Pectoral muscle to nipple level")
NIPPLE_LINES_AGREE = _own("nipple-lines", "Posterior nipple lines of CC and MLO within 1 cm")
SYMMETRICAL = _own("symmetrical", "Left and right images symmetrical")
SHARP = _own("sharp", "Image sharp")
EXPOSED = _own("exposed", "Exposure and contrast adequate")
NO_ARTEFACTS = _own("no-artefacts", "No artefacts over the breast")
SHOWN = _own("shown", "Breast shown")
LABELLED = _own("labelled", "View as labelled")
SIDE_AGREES = _own("side-agrees", "Chest wall on the side that the header tells")
COMPLETE = _own("complete", "All four standard views present")
NOT_SYMMETRICAL = _own("not-symmetrical", "Left and right images not symmetrical")

PGMI = _own("pgmi", "PGMI category")
PGMI_GRADES = {
    "P": _own("pgmi-p", "Perfect"),
    "G": _own("pgmi-g", "Good"),
    "M": _own("pgmi-m", "Moderate"),
    "I": _own("pgmi-i", "Inadequate"),
}

BREAST_OUTLINE = _standard(codes.DCM.BreastOutlineIncludingPectoralMuscleTissue)
CUT_OFF_LENGTH = _own("cut-off", "Length of the breast's edge at the image's border")
NIPPLE_PROMINENCE = _own("nipple-height", "Height of the nipple over the skin line")
PECTORAL_LENGTH = _own("pectoral-length", "Length of the pectoral muscle's edge")
PECTORAL_WIDTH = _own("pectoral-width", "Width of the pectoral muscle at the upper border")
PECTORAL_ANGLE = _own("pectoral-angle", "Angle of the pectoral muscle's edge with the chest wall")
PECTORAL_SHORTFALL = _own("pectoral-gap", "Distance from the pectoral muscle's end to the nipple level")
NIPPLE_LINE = _own("nipple-line", "Posterior nipple line")
NIPPLE_LINE_DIFFERENCE = _own("nipple-line-diff", "Difference of posterior nipple lines of MLO and CC")
OVERLAPS = {
    "CC": _own("symmetry-cc", "Overlap of left and right breast outlines in CC (Dice)"),
    "MLO": _own("symmetry-mlo", "Overlap of left and right breast outlines in MLO (Dice)"),
}
BLUR = _own("blur", "Deviation of the equivalent Gaussian blur")
DIRECTED_BLUR = _own("directed-blur", "Loss of detail in the weakest direction")
WHITE_SHARE = _own("white-share", "Share of the breast at full white")
BLACK_SHARE = _own("black-share", "Share of the breast at full black")
CONTRAST = _own("contrast", "Grey range within the breast (5th to 95th percentile)")
ARTEFACT_AREA = _own("artefact-area", "Area of isolated saturated structures over the breast")
OUTSIDE_AREA = _own("outside-area", "Area of structures outside the breast")
VIEWS_PRESENT = _own("views-present", "Standard views present")
