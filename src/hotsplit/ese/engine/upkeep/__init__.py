"""What a long-running instance does for itself: cleaning, checkpoints, space, leaks."""
