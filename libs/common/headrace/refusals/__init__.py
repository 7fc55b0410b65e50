"""What was refused, told to the audit: counted in memory and written now and then, however often it happens."""
