"""Linear relations between activations: back-substitution, slope rules, and the search for better slopes."""
