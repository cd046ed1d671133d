"""One rank of a training run: the feed, the Trainer, checkpoints."""
