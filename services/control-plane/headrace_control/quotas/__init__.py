"""What a tenant may use at most."""
