"""The `headrace` command and the all-in-one `headrace dev`."""
