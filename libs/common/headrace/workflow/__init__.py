"""The pure core: documents, graphs, conditions, expressions, states, what to do next. No I/O, no clock."""
