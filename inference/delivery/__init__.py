"""Results on their way to clinical PACS: re-identified in memory, sent, and confirmed.

No identified byte is written to a disk or a log here; what is raised and logged names neither values nor originals.
"""
