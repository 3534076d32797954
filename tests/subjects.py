"""The domains that the suites try, by their text form."""

from absdomain import parse

# Every domain, every slope policy, every combinator.
EXPRESSIONS = (
    "box",
    "deeppoly",
    "deeppoly(slopes=zero)",
    "deeppoly(slopes=one)",
    "deeppoly(slopes=parallel)",
    "deeppoly.guided(by=box)",
    "box & deeppoly",
    "mix(deeppoly.guided(by=box), box, weight=0.3)",
)
DOMAINS = tuple(parse(text) for text in EXPRESSIONS)
