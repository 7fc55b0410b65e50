"""`headrace audit`: read who did what, take it away, and prove that nobody changed it."""
