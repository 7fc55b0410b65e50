"""Handing out runs: the relay publishes what is due, the sweeper makes due again what was lost."""
