"""The plugin inside Orthanc: the only package that imports `orthanc`, and light enough for its interpreter."""
