"""The errors of inference.

    SenogateError
    ├── PackageError     a model package that must not be run: damaged, changed, unsigned, incomplete
    ├── KeyFileError     a key that signs or verifies packages can't be read, made or taken away
    ├── WeightsError     published weights that can't be turned into a package
    ├── ReadingFailed    a study the model should have read, and could not: a later try may tell otherwise
    └── ModelProcessEnded    the process that ran the model came to no end of its own

Messages name attributes by keyword and never carry an attribute's value.
"""

from archive.errors import SenogateError


class PackageError(SenogateError):
    pass


class KeyFileError(SenogateError):
    pass


class WeightsError(SenogateError):
    pass


class ReadingFailed(SenogateError):
    pass


class ModelProcessEnded(SenogateError):
    pass
