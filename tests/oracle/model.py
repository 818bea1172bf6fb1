"""What a store holds, as plain Python objects.

* A history is in one total order: time, then identity number, then order of recording.
* The channel of an interaction is the recorded one, else its touchpoint's.
* A score without a survey belongs to the survey ``default`` (nps, 0-10); that survey is in the
  catalogue as soon as one such score is recorded.  Everywhere a survey is shown it is ``default``.
* A touchpoint that the catalogue does not know has no type, channel, stage, department or role.
"""

from dataclasses import dataclass, field


@dataclass
class Touchpoint:
    type: str = None
    channel: str = None
    stage: str = None
    department: str = None
    role: str = None


@dataclass
class Survey:
    """``top`` counts boxes (points of the scale); None means the default for the scale."""

    kind: str = "nps"
    min: float = 0
    max: float = 10
    step: float = 1
    better: str = "high"
    top: int = None

    def top_boxes(self):
        """1 on scales up to 3 points, 2 up to 11; ces 1-7: 3."""
        if self.top is not None:
            return self.top
        points = round((self.max - self.min) / self.step) + 1
        if self.kind == "ces" and (self.min, self.max) == (1, 7):
            return 3
        if points <= 3:
            return 1
        if points <= 11:
            return 2
        raise ValueError("a scale of more than 11 points needs its top")

    def turned(self, score):
        """The score, turned so that high is good."""
        return self.min + self.max - score if self.better == "low" else score


@dataclass
class Journey:
    """``touchpoints`` maps a stage to the journey's own list; ``within`` is in microseconds."""

    stages: list
    touchpoints: dict = field(default_factory=dict)
    within: int = None


@dataclass(eq=False)
class Interaction:
    """``order`` is set by the store: the place in the order of recording."""

    customer: str
    time: int
    touchpoint: str
    identity: int = 0
    channel: str = None
    value: float = None
    survey: str = None
    score: float = None
    about: str = None
    case: str = None
    attributes: dict = field(default_factory=dict)
    order: int = None


@dataclass
class Store:
    interactions: list = field(default_factory=list)
    touchpoints: dict = field(default_factory=dict)
    surveys: dict = field(default_factory=dict)
    customers: dict = field(default_factory=dict)
    segments: dict = field(default_factory=dict)
    journeys: dict = field(default_factory=dict)

    def __post_init__(self):
        for place, interaction in enumerate(self.interactions):
            if interaction.order is None:
                interaction.order = place
        needs_default = any(i.score is not None and i.survey is None for i in self.interactions)
        if needs_default and "default" not in self.surveys:
            self.surveys = {**self.surveys, "default": Survey("nps", 0, 10)}

    def touchpoint(self, name):
        return self.touchpoints.get(name, Touchpoint())

    def channel(self, interaction):
        if interaction.channel is not None:
            return interaction.channel
        return self.touchpoint(interaction.touchpoint).channel

    def survey(self, interaction):
        if interaction.survey is None and interaction.score is not None:
            return "default"
        return interaction.survey


def total_order(interaction):
    return (interaction.time, interaction.identity, interaction.order)


def histories(interactions):
    """{customer: interactions in the total order}; the anonymous ones have no history."""
    found = {}
    for interaction in interactions:
        if interaction.customer is not None:
            found.setdefault(interaction.customer, []).append(interaction)
    for history in found.values():
        history.sort(key=total_order)
    return found
