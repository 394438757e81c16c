"""Jobs over a dataset, by which data are used where they are: docs/secure-use.md."""
