"""An activation and a domain for absdomain, as an example."""
