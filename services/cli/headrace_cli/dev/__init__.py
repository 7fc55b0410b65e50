"""`headrace dev`: the whole of Headrace on one machine, under one supervisor."""
