"""A simulated company: about 3,000 customers of an outdoor shop meet 28 touchpoints of 8 channels in 2025.

Nothing here is real, and every table and picture made of it says so. What it is good for: to see a whole catalogue at
work, with surveys, complaints and customers who drop out. The same seed gives the same file, on every machine.

    python examples/demo/simulate.py > simulated.csv
"""

from __future__ import annotations

import csv
import datetime as dt
import math
import random
import sys

CUSTOMERS = 3000
SEED = 20250101
START = dt.datetime(2025, 1, 1)
END = dt.datetime(2026, 1, 1)
COLUMNS = ["customer", "time", "touchpoint", "value", "survey", "score", "text", "key", "age", "plan", "region"]

# name: type, channel, stage, department, role
TOUCHPOINTS = {
    "tv.spot": ("sensory", "tv", "awareness", "brand", None),
    "social.ad": ("digital", "social", "awareness", "marketing", None),
    "search.ad": ("digital", "web", "awareness", "marketing", None),
    "store.window": ("sensory", "store", "awareness", "retail", None),
    "web.home": ("digital", "web", "knowledge", "e-commerce", None),
    "web.guide": ("digital", "web", "knowledge", "brand", None),
    "email.newsletter": ("digital", "email", "knowledge", "marketing", None),
    "web.product": ("digital", "web", "consideration", "e-commerce", None),
    "app.product": ("digital", "app", "consideration", "e-commerce", None),
    "store.visit": ("physical", "store", "consideration", "retail", None),
    "phone.advice": ("human", "phone", "consideration", "service", None),
    "web.cart": ("digital", "web", "consideration", "e-commerce", None),
    "app.cart": ("digital", "app", "consideration", "e-commerce", None),
    "web.payment": ("digital", "web", "trial", "e-commerce", None),
    "app.payment": ("digital", "app", "trial", "e-commerce", None),
    "store.till": ("human", "store", "trial", "retail", None),
    "courier.delivery": ("human", "courier", "satisfaction", "logistics", None),
    "web.help": ("digital", "web", "satisfaction", "service", None),
    "phone.complaint": ("human", "phone", "satisfaction", "service", "complaint"),
    "store.return": ("physical", "store", "satisfaction", "retail", None),
    "email.survey": ("digital", "email", "satisfaction", "service", "survey"),
    "email.offer": ("digital", "email", "loyalty", "marketing", None),
    "app.points": ("digital", "app", "loyalty", "marketing", None),
    "store.workshop": ("event", "store", "loyalty", "brand", None),
    "web.reorder": ("digital", "web", "loyalty", "e-commerce", None),
    "web.review": ("digital", "web", "advocacy", "brand", None),
    "social.share": ("digital", "social", "advocacy", "brand", None),
    "app.invite": ("digital", "app", "advocacy", "marketing", None),
}
SURVEYS = {
    "relationship": {"kind": "nps", "description": "Would you recommend us? 0 to 10"},
    "delivery": {"kind": "csat", "description": "How satisfied are you with the delivery? 1 to 5"},
    "service": {"kind": "ces", "description": "We made it easy: 1 (no) to 7 (yes)"},
}
SEGMENTS = {"under 35": "age < 35", "35 to 54": "age between 35 and 54", "55 and over": "age >= 55"}
STAGES = ["awareness", "knowledge", "consideration", "trial", "satisfaction", "loyalty", "advocacy"]
PRAISE = ["Quick and friendly.", "Just what I needed.", "The advice on the phone was worth a lot."]
BLAME = ["Came a week late.", "I had to call three times.", "The box was open when it arrived."]


def catalogue(store):
    """Define what the company's people know: touchpoints and their owners, stages, surveys, segments, the journey."""
    store.stages.template()
    for name, (kind, channel, stage, department, role) in TOUCHPOINTS.items():
        store.touchpoints.define(name, type=kind, channel=channel, stage=stage, department=department, role=role)
    for name, members in SURVEYS.items():
        store.surveys.define(name, **members)
    for name, where in SEGMENTS.items():
        store.segments.define(name, where=where)
    store.journeys.define("lifecycle", stages=STAGES, within="180d")


class Customer:
    """One made-up person; `events` is what they met."""

    def __init__(self, number: int, dice: random.Random):
        self.dice = dice
        self.id = f"S{number:04d}"
        self.age = 18 + int(62 * dice.random() ** 1.3)
        self.plan = "member" if self.chance(0.35) else "guest"
        self.region = self.pick({"north": 4, "east": 2, "south": 3, "west": 3})
        young = 1 / (1 + math.exp((self.age - 38) / 8))
        self.home = self.pick({"app": 0.2 + young, "web": 0.8, "store": 0.25 + 0.9 * (1 - young)})
        self.mood = dice.gauss(0.3 if self.plan == "member" else 0.0, 0.8)
        self.now = START + dt.timedelta(days=365 * dice.random())
        self.events: list[dict[str, object]] = []

    def chance(self, p: float) -> bool:
        return self.dice.random() < p

    def pick(self, weights: dict[str, float]) -> str:
        left = self.dice.random() * sum(weights.values())
        for name, weight in weights.items():
            left -= weight
            if left < 0:
                return name
        return name

    def wait(self, days: float) -> None:
        """Some time passes: exponential, with this mean; mostly by day."""
        self.now += dt.timedelta(days=-days * math.log(1 - self.dice.random()))
        if self.now.hour < 6:
            self.now += dt.timedelta(hours=7)

    def meet(self, touchpoint: str, **more: object) -> None:
        if self.now < END:
            self.events.append({"touchpoint": touchpoint, "time": self.now, **more})

    def answer(self, survey: str, lowest: int, highest: int, middle: float, spread: float) -> None:
        """Asked by mail; not everyone answers, and the answer follows the mood."""
        self.wait(1.5)
        if not self.chance(0.42):
            return
        score = min(highest, max(lowest, round(self.dice.gauss(middle + self.mood * spread, spread))))
        more: dict[str, object] = {"survey": survey, "score": score}
        if self.chance(0.15):
            said = PRAISE if score > (lowest + highest) / 2 else BLAME
            more["text"] = said[int(self.dice.random() * len(said))]
        self.meet("email.survey", **more)

    def become_aware(self) -> bool:
        for _ in range(1 + int(3 * self.dice.random() ** 2)):
            social = 3 if self.age < 40 else 1
            self.meet(self.pick({"tv.spot": 2, "social.ad": social, "search.ad": 3, "store.window": 1.5}))
            self.wait(3)
        return self.chance(0.8)

    def learn(self) -> bool:
        for _ in range(1 + int(2 * self.dice.random())):
            self.meet(self.pick({"web.home": 5, "web.guide": 2, "email.newsletter": 2 + 3 * (self.plan == "member")}))
            self.wait(2)
        return self.chance(0.76)

    def consider(self) -> bool:
        look = {"app": "app.product", "web": "web.product", "store": "store.visit"}
        for _ in range(1 + int(4 * self.dice.random() ** 1.5)):
            self.meet(look[self.home if self.chance(0.8) else self.pick({"app": 1, "web": 2, "store": 1})])
            self.wait(1.2)
        advised = self.chance(0.12)
        if advised:
            self.meet("phone.advice")
            self.wait(0.5)
        return self.chance(0.62 + 0.2 * advised)

    def buy(self, again: bool = False) -> bool:
        amount = round(math.exp(self.dice.gauss(3.9, 0.7)), 2)
        if self.home == "store":
            self.meet("store.till", value=amount)
            return True
        if not again:
            self.meet(f"{self.home}.cart")
            self.wait(0.05)
        if self.chance(0.35 if self.home == "web" else 0.24) and not again:
            return False  # left at the cart
        self.meet("web.reorder" if again else f"{self.home}.payment", value=amount)
        self.wait(3.5)
        late = self.chance(0.18)
        if late:
            self.wait(5)
            self.mood -= 0.9
        self.meet("courier.delivery")
        self.answer("delivery", 1, 5, 3.0 if late else 4.2, 0.8)
        return True

    def be_served(self) -> None:
        trouble = self.chance(0.3 if self.mood < 0 else 0.1)
        if trouble:
            self.wait(2)
            helped = self.chance(0.5)
            self.meet("web.help" if helped else "phone.complaint")
            self.mood -= 0.2 if helped else 0.7
            self.answer("service", 1, 7, 5.6 if helped else 4.1, 1.1)
            if self.chance(0.25):
                self.meet("store.return")
        self.wait(6)
        self.answer("relationship", 0, 10, 8.2, 1.5)

    def stay(self) -> bool:
        loyal = False
        while self.now < END and self.chance(0.62 + 0.1 * max(-2, min(2, self.mood))):
            loyal = True
            self.wait(24)
            self.meet(self.pick({"email.offer": 4, "app.points": 2 + 3 * (self.home == "app"), "store.workshop": 0.6}))
            if self.chance(0.45):
                self.wait(4)
                self.buy(again=True)
                if self.chance(0.3):
                    self.answer("relationship", 0, 10, 8.5, 1.4)
        return loyal and self.chance(0.3 + 0.12 * self.mood)

    def tell(self) -> None:
        self.wait(7)
        self.meet(self.pick({"web.review": 3, "social.share": 2, "app.invite": 1.5}))

    def live(self) -> None:
        if self.become_aware() and self.learn() and self.consider() and self.buy():
            self.be_served()
            if self.stay():
                self.tell()


def rows(customers: int = CUSTOMERS, seed: int = SEED):
    """The rows of the file, one customer after another, each in order of time."""
    dice = random.Random(seed)
    number = 0
    for i in range(customers):
        person = Customer(i + 1, dice)
        person.live()
        for event in person.events:
            number += 1
            yield {
                "customer": person.id,
                "key": f"sim-{number}",
                "age": person.age,
                "plan": person.plan,
                "region": person.region,
                **event,
                "time": event["time"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            }


def write(file, **options) -> None:
    out = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
    out.writeheader()
    out.writerows(rows(**options))


if __name__ == "__main__":
    write(sys.stdout)
