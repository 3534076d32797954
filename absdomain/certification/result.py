"""The verdicts of a certification, and what people do with them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from absdomain.certification.picture import margins
from absdomain.certification.verdict import Status, Summary, Verdict, summarise
from absdomain.errors import check_type, needing
from absdomain.runtime.results import Results
from absdomain.runtime.writing import replace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = ("index", "label", "status", "by", "nominal", "attacked", "reason", "detail", "layer", "helps")
_ERRORS = ("samples", "clean_error", "pgd_error", "verified_error")


class Adversarial(NamedTuple):
    """An image, a point of its region that breaks what was asked, and their difference, (*shape) each."""

    clean: Tensor
    attacked: Tensor
    difference: Tensor

    def __repr__(self) -> str:
        most = float(self.difference.abs().max()) if self.difference.numel() else 0.0
        shape = tuple(self.clean.shape)
        return f"Adversarial(clean, attacked and difference, {shape} each; entries differ by at most {most:.4g})"


class Certification(Results[Verdict]):
    """The verdicts of N images, computed as they are asked for, in the order in which they become known.

    To iterate gives them one by one, with progress on stderr; everything else but its text asks for all of them first.
    Iterating again begins anew with those that are known.
    """

    title = "certify"

    def __init__(self, source: Generator[Verdict], images: Tensor) -> None:
        super().__init__(source, len(images))
        self._images = images

    def told(self) -> str:
        """How many have which status."""
        counts = Counter(verdict.status for verdict in self._known)
        return ", ".join(f"{counts[status]} {status}" for status in Status)

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All of them, in the order of the images."""
        return tuple(sorted(self, key=lambda verdict: verdict.index))

    @property
    def summary(self) -> Summary:
        """The errors in percent."""
        return summarise(self.verdicts)

    def adversarial(self, index: int) -> Adversarial | None:
        """The image at this place with the point that breaks what was asked, in the model's dtype; None: none is known.

        Errors: IndexError for a place that no image has.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"adversarial: there are {len(self)} images, and {index} is none of them")
        found = self.verdicts[index].witness
        if found is None:
            return None
        clean = self._images[index].to(found)
        return Adversarial(clean, found, found - clean)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, a row for each image: its verdict, and a column for each domain's lower bound.

        Errors: MissingExtra without pandas.
        """
        with needing("pandas", "to_pandas"):
            import pandas

        rows = []
        for verdict in self.verdicts:
            bounds = {f"lower[{domain}]": bound for domain, bound in verdict.lower.items()}
            rows.append({name: getattr(verdict, name) for name in _COLUMNS} | bounds)
        return pandas.DataFrame(rows)

    def plot(self) -> Figure:
        """A matplotlib Figure: for each image, between which numbers its least margin lies.

        Notebooks show it after `%matplotlib inline`; elsewhere its own method saves it as an image.

        Errors: MissingExtra without matplotlib.
        """
        return margins(self.verdicts)

    def save(self, path: str | Path) -> None:
        """Write all verdicts to a file, a line of JSON each, as `load` reads them back.

        Errors: WriteError for a file that is there and is none of these.
        """
        check_type("save", path, (str, Path), "give the path of a file, such as verdicts.jsonl")
        lines = "".join(f"{json.dumps(verdict.to_json())}\n" for verdict in self.verdicts)
        replace(Path(path), lines.encode(), is_saved)

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        from html import escape

        shown = self.summary.to_json()
        rows = [(name.replace("_", " "), shown[name]) for name in _ERRORS]
        rows += [(f"verified error, {domain}", error) for domain, error in shown["domains"].items()]
        cells = (
            f"<tr><td>{escape(name)}</td><td>{'' if value is None else f'{value:g}'}</td></tr>" for name, value in rows
        )
        return f"<table><caption>errors in %</caption>{''.join(cells)}</table>"


def load(path: str | Path) -> tuple[Verdict, ...]:
    """The verdicts that `Certification.save` wrote.

    Errors: ValueError with the line that is none.
    """
    check_type("load", path, (str, Path), "give the path of a file that `save` wrote")
    found = []
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        try:
            found.append(Verdict.from_json(json.loads(line)))
        except (KeyError, TypeError, ValueError) as reason:
            raise ValueError(f"{path}, line {number}: no verdict ({reason}); give a file that `save` wrote") from None
    return tuple(found)


def is_saved(content: bytes) -> bool:
    """Whether each line is a verdict, so that nothing of anybody else's is overwritten."""
    try:
        return all(isinstance(Verdict.from_json(json.loads(line)), Verdict) for line in content.splitlines())
    except (KeyError, TypeError, ValueError):
        return False
