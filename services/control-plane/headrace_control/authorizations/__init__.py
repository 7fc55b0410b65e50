"""OAuth2 authorization codes: a person agrees at the provider, and a connection has its tokens by that."""
