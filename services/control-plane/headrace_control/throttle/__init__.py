"""How fast connections are called by the whole fleet, and when they are left alone: token buckets and breakers."""
