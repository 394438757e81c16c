"""How the project's own models are made. Needs the extra `training`; nothing at a site imports it."""
