"""The logs of a tenant's runs: search them, follow them."""
