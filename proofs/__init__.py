"""Machine-checked lemmas, one per operation and one per domain, each tied to the code that it speaks of."""
