"""Rollouts: a candidate version takes a share of a workflow's starts until it is promoted or rolled back."""
