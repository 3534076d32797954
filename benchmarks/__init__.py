"""Speed and memory of bounds and training steps, as ratios to the plain network in the same run."""
