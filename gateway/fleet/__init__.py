"""What nodes of a federation say to each other over HTTP: `/federation/v1/…`."""
