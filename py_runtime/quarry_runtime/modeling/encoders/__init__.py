"""Encoders that come with Quarry, one a file; each registers itself under a name."""
