"""What the five papers say that training costs; of the other methods they say nothing, or give no figures.

Ratios are formed from the times that a paper prints. Those were taken on graphics cards, where small operations wait
for each other; here it is one processor, which pays for every one of them.
"""

from __future__ import annotations

from typing import NamedTuple


class Claim(NamedTuple):
    """What is said of a method, and where."""

    said: str
    source: str


GOWAL = "Gowal et al. 2019, appendix E: times of an epoch, small network, MNIST"
ZHANG = "Zhang et al. 2020, table 6: times of training, models A to O on MNIST"

CLAIMS = {
    "pgd": Claim("5.7 x natural", GOWAL),
    "fgsm": Claim("comparable to natural", "Fan and Li 2021, table 1"),
    "ibp": Claim("2.3 x natural", GOWAL),
    "crown-ibp": Claim("1.7 to 6.8 x pure-ibp, at most 10", f"{ZHANG}; 2.0 to 4.8 on CIFAR-10"),
    "wong-kolter": Claim("80 x natural, 7 to 156 x pure-ibp", f"{GOWAL}; {ZHANG}; both with 50 projections"),
    "singleprop": Claim(
        "2 x natural; ibp 1.6 to 2.1 x, memory 1.5 x this",
        "Boopathy et al. 2021, section 3.2 by counting passes, and table 1: times of an epoch",
    ),
    "advibp": Claim("comparable to natural", "Fan and Li 2021, table 1"),
}
