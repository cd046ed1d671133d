"""Looks at a model, its texts and its first training steps before any GPU is spent on them."""
