"""The soundness kit: laws of ops, regions and domains, and random problems to try them on.

    absdomain.laws.check_op(MyActivation(), (3, 4), reference=my_function)
    absdomain.laws.check_domain(MyDomain())

    absdomain.laws.check_branches(graph, region, spec)
    absdomain.laws.compare([MyDomain(), Box()], graph, region)

All raise LawBroken with the values; `check_domain` adds a script that poses the shrunk problem again.
`absdomain.laws.strategies` (ops, graphs, regions, specs, problems) are hypothesis's strategies and compose with yours.
"""

from absdomain.laws.branches import check_branches
from absdomain.laws.broken import LawBroken
from absdomain.laws.comparison import Comparison, compare
from absdomain.laws.domains import LAWS, DomainLaw, check_domain
from absdomain.laws.examples import Example
from absdomain.laws.ops import check_op
from absdomain.laws.regions import check_region
from absdomain.laws.tally import Tally
from absdomain.laws.tightness import Slack, check_tightness, slack_of

__all__ = [
    "LAWS",
    "Comparison",
    "DomainLaw",
    "Example",
    "LawBroken",
    "Slack",
    "Tally",
    "check_branches",
    "check_domain",
    "check_op",
    "check_region",
    "check_tightness",
    "compare",
    "slack_of",
]
