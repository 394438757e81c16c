"""`senogate token` and `senogate client`."""
