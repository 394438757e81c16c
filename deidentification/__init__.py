"""De-identification of DICOM instances: pure, bytes in, bytes out, without Orthanc, database or numpy."""
