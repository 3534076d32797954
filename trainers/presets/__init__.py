"""{ name -> Recipe }: whole published recipes, for `--preset NAME`; each is a value registered by its entry point.

Names are DATA-EPS-METHOD-NETWORK. Where a paper selects its best checkpoint by test error, these keep the last one.
"""
