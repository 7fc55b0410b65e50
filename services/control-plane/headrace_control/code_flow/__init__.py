"""What every authorization code by way of a browser has in common (RFC 6749, 4.1, with PKCE): log-ins' and
connections'."""
