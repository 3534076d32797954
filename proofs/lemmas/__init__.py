"""The lemmas, by theme."""
