"""The end of a tenant: asked for, taken back, or carried out when its time is over."""
