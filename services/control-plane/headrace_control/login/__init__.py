"""Log-in of people by OpenID Connect."""
