"""What the programs of LP and Exact share: constraints, matrices and solvers."""
