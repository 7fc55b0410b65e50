"""`headrace login` and `headrace logout`."""
