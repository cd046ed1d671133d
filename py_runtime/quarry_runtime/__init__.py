"""The Python side of Quarry: worker processes and training ranks that ask for work."""

__version__ = "0.1.0"
