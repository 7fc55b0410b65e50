"""What stands around every HTTP face: who is let in, how fast, for how long, and what every answer carries."""
