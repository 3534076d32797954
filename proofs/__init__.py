"""Machine-checked lemmas, at least one behind every operation and every domain, each run on the code it speaks of."""
