"""What runners call: claims, checkpoints, leases, tokens. Never reachable with a tenant's key."""
