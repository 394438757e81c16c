"""The command line, and the one place that builds and starts the parts of a site."""
