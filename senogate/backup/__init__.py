"""Backups of a site and what is done with them: made while it runs, verified, restored onto an empty home."""
