"""Who runs a command: what the audit trail says of it."""

import os
import pwd


def user() -> str:
    """The operating system's user that this process runs as, as a subject of the trail."""
    try:
        return f"os:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"os:{os.getuid()}"
