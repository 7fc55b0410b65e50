"""`headrace fleet`: runner processes of one machine, as many as there is work for."""
