"""The control plane: what people design and start, and the dispatches that hand runs out."""
