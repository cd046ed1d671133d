"""Similarities, one per file, found by name through modeling/registry.py."""
