"""What stands between Quarry and bad input: model files, a dead parent, broken numbers."""
