"""One look per (domain, method), the same in every figure; controls are dashed and lighter."""

from typing import Any

from emflow.config import Config

__all__ = ["Style"]

# Okabe & Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


class Style:
    """Colours follow the experiment (a domain and its control share one per method), dashes say control."""

    def __init__(self, config: Config) -> None:
        self.control_of = {name: domain.control_of for name, domain in config.domains.items()}
        subjects = dict.fromkeys(self.control_of[domain] or domain for domain in config.runs.domains)
        pairs = [(subject, method) for subject in subjects for method in config.runs.methods]
        self.colour = {pair: COLOURS[i % len(COLOURS)] for i, pair in enumerate(pairs)}

    def of(self, domain: str, method: str) -> dict[str, Any]:
        """Line properties for matplotlib."""
        control = self.control_of[domain]
        return {"color": self.colour[control or domain, method], "linestyle": "--" if control else "-"}

    def label(self, domain: str, method: str) -> str:
        """What a legend calls the runs of this pair."""
        return f"{domain.replace('_', ' ')}, {method}" + (" (control)" if self.control_of[domain] else "")
