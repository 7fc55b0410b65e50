"""Envelope encryption: values sealed under a tenant's data key, which a key provider has wrapped."""
