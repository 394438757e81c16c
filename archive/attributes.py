"""Which attributes describe a study, a series and an instance: what the index keeps, matches and returns.

Levels are those of the Study Root information model (PS3.4 section C.6.2.1); the patient's attributes are
part of the study level there. What is matched and returned follows PS3.18 tables 10.6.1-5 and 10.6.3-3 to
10.6.3-5.
"""

from enum import IntEnum
from functools import cache

from pydicom.datadict import dictionary_VR, tag_for_keyword


class Level(IntEnum):
    """A level of the information model; a greater one lies below."""

    STUDY = 0
    SERIES = 1
    INSTANCE = 2


@cache
def tag(keyword: str) -> str:
    """The tag as DICOM JSON names an attribute: eight upper-case hexadecimal digits (PS3.18 F.2.2)."""
    number = tag_for_keyword(keyword)
    if number is None:
        raise KeyError(keyword)
    return f"{number:08X}"


@cache
def vr(hex_tag: str) -> str:
    """The value representation of a tag of the standard's dictionary. Raises KeyError for any other."""
    return dictionary_VR(int(hex_tag, 16))


def _tags(keywords: str) -> tuple[str, ...]:
    return tuple(sorted(map(tag, keywords.split())))


_INSTANCE = "SOPClassUID SOPInstanceUID InstanceNumber Rows Columns BitsAllocated NumberOfFrames TimezoneOffsetFromUTC"

ATTRIBUTES: dict[Level, tuple[str, ...]] = {
    Level.STUDY: _tags(
        """
        PatientName PatientID IssuerOfPatientID PatientBirthDate PatientBirthTime PatientSex PatientAge
        PatientSize PatientWeight PregnancyStatus EthnicGroup SmokingStatus PatientSpeciesDescription
        PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence
        LongitudinalTemporalInformationModified StudyInstanceUID StudyDate StudyTime StudyID AccessionNumber
        ReferringPhysicianName StudyDescription TimezoneOffsetFromUTC ProcedureCodeSequence
        AdmittingDiagnosesDescription ReasonForVisit ReasonForPerformedProcedureCodeSequence
        ClinicalTrialProtocolID ClinicalTrialSubjectID ClinicalTrialTimePointID
        ClinicalTrialTimePointDescription
        """
    ),
    Level.SERIES: _tags(
        """
        SeriesInstanceUID Modality SeriesNumber SeriesDescription SeriesDate SeriesTime Laterality
        BodyPartExamined PatientPosition ProtocolName FrameOfReferenceUID Manufacturer ManufacturerModelName
        DeviceSerialNumber SoftwareVersions StationName InstitutionName PresentationIntentType
        PerformedProcedureStepID PerformedProcedureStepStartDate PerformedProcedureStepStartTime
        PerformedProcedureStepDescription RequestAttributesSequence SeriesDescriptionCodeSequence
        TimezoneOffsetFromUTC
        """
    ),
    Level.INSTANCE: _tags(
        f"""
        {_INSTANCE} ImageType ViewPosition ImageLaterality ViewCodeSequence PatientOrientation PartialView
        BreastImplantPresent AnatomicRegionSequence ImageComments BurnedInAnnotation
        InstanceCreationDate InstanceCreationTime ContentDate ContentTime AcquisitionDate AcquisitionTime
        AcquisitionDateTime AcquisitionNumber ImagesInAcquisition AcquisitionContextSequence
        SamplesPerPixel PhotometricInterpretation BitsStored HighBit PixelRepresentation PixelSpacing
        ImagerPixelSpacing PixelAspectRatio WindowCenter WindowWidth VOILUTFunction RescaleSlope
        RescaleIntercept RescaleType PixelIntensityRelationship LossyImageCompression
        LossyImageCompressionRatio LossyImageCompressionMethod QualityControlImage
        KVP Exposure ExposureTime ExposureInuAs XRayTubeCurrent ExposureControlMode AnodeTargetMaterial
        FilterMaterial FilterType Grid FocalSpots DistanceSourceToDetector DistanceSourceToPatient
        BodyPartThickness CompressionForce OrganDose EntranceDoseInmGy HalfValueLayer
        DetectorType DetectorID FieldOfViewShape FieldOfViewDimensions PositionerType
        PositionerPrimaryAngle PositionerSecondaryAngle EstimatedRadiographicMagnificationFactor
        ImagePositionPatient ImageOrientationPatient SliceLocation SliceThickness SpacingBetweenSlices
        TemporalPositionIdentifier EchoTime RepetitionTime FlipAngle SequenceName ContrastBolusAgent
        ConceptNameCodeSequence CompletionFlag VerificationFlag PreliminaryFlag ValueType
        ContentLabel ContentDescription PresentationCreationDate PresentationCreationTime SegmentationType
        SegmentSequence SourceImageSequence ReferencedImageSequence ReferencedSeriesSequence DerivationDescription
        DerivationCodeSequence ContentQualification DocumentTitle MIMETypeOfEncapsulatedDocument
        """
    ),
}
"""Tags of each level that the index keeps, and that can be matched."""

RETURNED: dict[Level, tuple[str, ...]] = {
    Level.STUDY: _tags(
        """
        StudyDate StudyTime AccessionNumber ReferringPhysicianName TimezoneOffsetFromUTC StudyDescription
        PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID StudyID
        """
    ),
    Level.SERIES: _tags(
        """
        Modality SeriesDescription SeriesInstanceUID SeriesNumber Laterality BodyPartExamined StudyInstanceUID
        PerformedProcedureStepStartDate PerformedProcedureStepStartTime RequestAttributesSequence
        TimezoneOffsetFromUTC
        """
    ),
    Level.INSTANCE: _tags(f"{_INSTANCE} StudyInstanceUID SeriesInstanceUID"),
}
"""Tags that a search answers without being asked."""

TYPE_2: dict[Level, tuple[str, ...]] = {
    Level.STUDY: _tags(
        """
        StudyDate StudyTime AccessionNumber ReferringPhysicianName PatientName PatientID PatientBirthDate
        PatientSex StudyID
        """
    ),
    Level.SERIES: _tags("SeriesNumber"),
    Level.INSTANCE: _tags("InstanceNumber"),
}
"""Tags that a search answers even where they have no value."""
