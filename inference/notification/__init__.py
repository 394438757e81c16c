"""Webhooks are told of readings that ended: where to, by one request each, in a lane for each of them."""
