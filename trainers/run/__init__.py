"""A training as it runs: the loop, its folder and checkpoints, and what several processes share."""
