"""Training: data sets with honest splits, and plain training of networks."""
