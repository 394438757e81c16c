"""Which attributes describe a study, a series and an instance: what the index keeps, matches and returns.

Levels are those of the Study Root information model (PS3.4 section C.6.2.1); the patient's attributes are part of the
study level there. Returned and matched attributes are those of PS3.18 tables 10.6.1-5 and 10.6.3-3 to 10.6.3-5.
"""

from enum import IntEnum

from pydicom.datadict import dictionary_VR, tag_for_keyword


class Level(IntEnum):
    """A level of the information model; a greater one lies below."""

    STUDY = 0
    SERIES = 1
    INSTANCE = 2


def tag(keyword: str) -> str:
    """The attribute's tag as DICOM JSON names it: eight upper-case hexadecimal digits (PS3.18 section F.2.2)."""
    number = tag_for_keyword(keyword)
    if number is None:
        raise KeyError(keyword)
    return f"{number:08X}"


def vr(hex_tag: str) -> str:
    """The value representation of a tag of the standard's dictionary. Raises KeyError for any other."""
    return dictionary_VR(int(hex_tag, 16))


_PATIENT = (
    "PatientName PatientID IssuerOfPatientID PatientBirthDate PatientBirthTime PatientSex PatientAge PatientSize"
    " PatientWeight PregnancyStatus EthnicGroup SmokingStatus PatientSpeciesDescription PatientIdentityRemoved"
    " DeidentificationMethod DeidentificationMethodCodeSequence LongitudinalTemporalInformationModified"
)
_STUDY = (
    "StudyInstanceUID StudyDate StudyTime StudyID AccessionNumber ReferringPhysicianName StudyDescription"
    " TimezoneOffsetFromUTC ProcedureCodeSequence AdmittingDiagnosesDescription ReasonForVisit"
    " ReasonForPerformedProcedureCodeSequence ClinicalTrialProtocolID ClinicalTrialSubjectID"
    " ClinicalTrialTimePointID ClinicalTrialTimePointDescription"
)
_SERIES = (
    "SeriesInstanceUID Modality SeriesNumber SeriesDescription SeriesDate SeriesTime Laterality BodyPartExamined"
    " PatientPosition ProtocolName FrameOfReferenceUID Manufacturer ManufacturerModelName DeviceSerialNumber"
    " SoftwareVersions StationName InstitutionName PresentationIntentType PerformedProcedureStepID"
    " PerformedProcedureStepStartDate PerformedProcedureStepStartTime PerformedProcedureStepDescription"
    " RequestAttributesSequence SeriesDescriptionCodeSequence"
)
_INSTANCE = "SOPClassUID SOPInstanceUID InstanceNumber Rows Columns BitsAllocated NumberOfFrames"

ATTRIBUTES: dict[Level, tuple[str, ...]] = {
    Level.STUDY: tuple(sorted(map(tag, (_PATIENT + " " + _STUDY).split()))),
    Level.SERIES: tuple(sorted(map(tag, _SERIES.split()))),
    Level.INSTANCE: tuple(sorted(map(tag, _INSTANCE.split()))),
}
"""Tags of each level that the index keeps."""

RETURNED: dict[Level, tuple[str, ...]] = {
    Level.STUDY: tuple(
        map(
            tag,
            "StudyDate StudyTime AccessionNumber ReferringPhysicianName TimezoneOffsetFromUTC StudyDescription"
            " PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID StudyID".split(),
        )
    ),
    Level.SERIES: tuple(
        map(
            tag,
            "Modality SeriesDescription SeriesInstanceUID SeriesNumber Laterality BodyPartExamined"
            " PerformedProcedureStepStartDate PerformedProcedureStepStartTime RequestAttributesSequence"
            " StudyInstanceUID".split(),
        )
    ),
    Level.INSTANCE: tuple(map(tag, (_INSTANCE + " StudyInstanceUID SeriesInstanceUID").split())),
}
"""Tags that a search answers without being asked."""

TYPE_2: dict[Level, tuple[str, ...]] = {
    Level.STUDY: tuple(
        map(
            tag,
            "StudyDate StudyTime AccessionNumber ReferringPhysicianName PatientName PatientID PatientBirthDate"
            " PatientSex StudyID".split(),
        )
    ),
    Level.SERIES: (tag("SeriesNumber"),),
    Level.INSTANCE: (tag("InstanceNumber"),),
}
"""Tags that a search answers even where they have no value."""
