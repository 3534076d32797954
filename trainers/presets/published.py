"""What the five papers publish, row by row, and the preset that trains each.

Errors are in per cent of the test set, by the method's own verifier. A row has the name of a preset, with options that
change it, or says why there is none. The papers select checkpoints by test error; the presets keep the last one.
"""

from __future__ import annotations

from absdomain.trainers.presets.result import Result
from absdomain.trainers.presets.tables import baselines, boopathy, gowal, li
from absdomain.trainers.presets.tables_mixtures import fan, zhang

RESULTS: tuple[Result, ...] = (*gowal(), *baselines(), *zhang(), *boopathy(), *li(), *fan())
