"""Models that turn texts into vectors: contracts, encoders, losses and their registry."""
