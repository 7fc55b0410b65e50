"""Which actions run by themselves, which ask a person first, and which never run."""
