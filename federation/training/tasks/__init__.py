"""The models that sites train together, a module each."""
