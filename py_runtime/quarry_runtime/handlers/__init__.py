"""What a worker does with a unit: encode it, or search it; no socket in here."""
