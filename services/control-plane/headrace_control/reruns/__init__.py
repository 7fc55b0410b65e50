"""Re-runs: new runs that go on from where ended ones stopped."""
