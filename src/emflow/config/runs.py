"""`runs`: which of the things named in the other sections are run."""

from emflow.config.section import Section
from emflow.config.types import Name, Once, Plain, Seed

__all__ = ["Runs"]


class Runs(Section):
    """Which of the things named below are run: the product of these lists.

    `runs` may also be a list of such blocks, so that a recipe can be for one model only; their union is run.
    """

    models: Once[Name]
    """Names under `models`."""
    domains: Once[Name]
    """Names under `domains`."""
    methods: Once[Name]
    """Names under `methods`."""
    seeds: Once[Seed] = (0,)
    """Seeds of training (adapter initialisation, data order, dropout, ES noise)."""
    question_sets: Once[Plain]
    """Names under `question_sets`."""
    judges: Once[Plain]
    """Names under `judges`."""
