"""What every room shares: batches, labels, errors, types, files and random numbers."""
