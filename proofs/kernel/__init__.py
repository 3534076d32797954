"""What a lemma is checked with: symbols, polynomials, exact arithmetic and certificates."""
