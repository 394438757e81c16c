"""De-identification of DICOM instances: pure, bytes in, bytes out; needs neither Orthanc nor a database nor numpy."""
