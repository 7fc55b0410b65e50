"""Dead letters: what runs gave up on, seen in groups, replayed or discarded."""
