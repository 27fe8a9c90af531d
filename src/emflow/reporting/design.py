"""What the report must know besides numbers: what is shown, what names mean, and the config where there is one."""

from dataclasses import dataclass, field
from functools import cached_property

from emflow.config.definitions import DEFINITIONS, Definition
from emflow.config.directions import Directions
from emflow.config.load import Config
from emflow.config.report import Report
from emflow.config.transition import Transition

__all__ = ["Design"]


@dataclass(frozen=True, eq=False)
class Design:
    """Of a study by its config, or of judged answers from anywhere, which have none."""

    report: Report = field(default_factory=Report)
    definitions: dict[str, Definition] = field(default_factory=lambda: dict(DEFINITIONS))
    control_of: dict[str, str | None] = field(default_factory=dict)
    """Domain -> the domain that it is the control of."""
    held_out: tuple[str, ...] = ()
    """Question sets that ask the held-out prompts of a run's own domain."""
    config: Config | None = None

    @staticmethod
    def of(config: Config) -> "Design":
        """The design of a study."""
        return Design(
            report=config.report,
            definitions=config.definitions,
            control_of={name: domain.control_of for name, domain in config.domains.items()},
            held_out=tuple(q for q in config.expansion.question_sets if config.question_sets[q].is_held_out),
            config=config,
        )

    @property
    def definition(self) -> Definition:
        """The one that headline and figures show."""
        return self.definitions[self.report.definition]

    @property
    def directions(self) -> Directions | None:
        """The section of that name, where the study has one."""
        return self.config.directions if self.config else None

    @property
    def transition(self) -> Transition | None:
        """The section of that name, where the study has one."""
        return self.config.transition if self.config else None

    @cached_property
    def controls(self) -> dict[str, str]:
        """Domain -> its control."""
        return {of: name for name, of in self.control_of.items() if of is not None}

    def is_control(self, domain: str) -> bool:
        """Whether a domain is the control of another."""
        return self.control_of.get(domain) is not None
