"""Ways to make one vector of a text's tokens, found by name through modeling/registry.py."""
