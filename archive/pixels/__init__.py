"""The pixels of an instance: where its frames lie, decoded, encoded anew and rendered.

Nothing here knows HTTP or a database. What decodes runs in worker processes (gateway/workers.py).
"""
