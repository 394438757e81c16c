"""Writers: one `Findings` value in, one DICOM instance out."""
