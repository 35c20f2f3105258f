"""What is fitted to arrays without a gradient."""
