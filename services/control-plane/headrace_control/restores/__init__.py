"""What has to be done to a database that was restored, before anything runs on it."""
