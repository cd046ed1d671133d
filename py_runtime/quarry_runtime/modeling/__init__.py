"""Models that turn texts into vectors: contracts, encoders, losses and the names they are found under."""
