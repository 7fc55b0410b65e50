"""Every socket that leaves: egress guard, transport, auth adapters, response reader."""
