"""Exact top-k that grows with each unit."""
