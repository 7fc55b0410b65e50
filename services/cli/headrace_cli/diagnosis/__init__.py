"""What is wrong with a running deployment: one look at its database, its bus, its log store and its keys."""
