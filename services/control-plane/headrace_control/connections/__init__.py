"""Connections: a tenant's encrypted credentials for an app, and the access tokens that come of them."""
