"""From pixels to findings, and from findings to DICOM results.

ONNX Runtime from 1.29 on tells its maker over the network what it runs, from the moment that it is imported, unless the
environment says otherwise by then. No model of a site may be told of: importing this package says so.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
