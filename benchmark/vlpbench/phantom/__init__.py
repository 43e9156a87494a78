"""A procedural frontal chest radiograph with a report that says what was drawn: the embedded synthetic suite.

Nothing is downloaded and nothing is learned: a study is a short description (patient, site, findings, report), and
its pixels follow from the description and a size alone. `GENERATOR_VERSION` belongs to the fingerprint of everything
made from it, and rises whenever the same seed would give another text or another pixel.
"""

from vlpbench.box import Box
from vlpbench.phantom.populations import POPULATIONS, studies
from vlpbench.phantom.rendering import render
from vlpbench.phantom.study import GENERATOR_VERSION, Finding, Rendered, Study, same_meaning_share

__all__ = [
    "GENERATOR_VERSION",
    "POPULATIONS",
    "Box",
    "Finding",
    "Rendered",
    "Study",
    "render",
    "same_meaning_share",
    "studies",
]
