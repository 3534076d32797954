"""`python -m absdomain.cli`, for torchrun."""

from absdomain.cli.main import main

main()
