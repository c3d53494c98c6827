"""Simulated applications with a recorded truth: a text classifier, a recommender with many channels, an LLM service.

What is quiet is not constant: traffic has a daily and a weekly cycle and autocorrelated noise, durations have heavy tails,
inputs and decisions follow the hour, some values are missing, and some spans come late. An incident changes one thing from a
known time on, in a known channel; it is the truth that findings are held against.

Source: the tokens of the LLM service are drawn from the Azure LLM inference trace 2023 (Patel et al., "Splitwise", ISCA 2024)
where it is there, else from log-normal distributions with its medians and spreads.
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.testing.encoding import Columns, Encoder

SECOND_NS: Final = 1_000_000_000
START_NS: Final = 1_704_067_200 * SECOND_NS  # a Monday, midnight UTC
DAY_S: Final = 86_400.0
WEEK_S: Final = 7 * DAY_S
_SATURDAY_H: Final = 5 * 24.0

_NOISE: Final = 0.1  # of the rate, standard deviation of its logarithm
_NOISE_MEMORY_S: Final = 300.0
_LEAST_SWING: Final = 0.05  # of inputs, over the day
_MOOD: Final = 0.1  # of a decision's share, by night or by day
_MISSING: Final = 0.02
_LATE: Final = 0.01  # share of spans that come in the next window
_VERY_LATE: Final = 0.0005  # and of those that come when nobody awaits them any more
_LATE_STEPS: Final = 1
_VERY_LATE_STEPS: Final = 5
_TAIL: Final = 0.01  # share of calls in the heavy tail
_TAIL_INDEX: Final = 1.5
_AZURE_MEDIANS: Final = (1_500.0, 13.0)  # fitted to the trace: context and generated tokens
_AZURE_SPREADS: Final = (1.0, 1.1)


@dataclass(frozen=True, slots=True)
class Incident:
    """What goes wrong, from when on, and where.

    Args:
        begins_s: Seconds after the start of the simulation.
        channel: The channel that causes it, -1 for all alike.
        moved: Share of its decisions that become one item.
        flipped: Share of one class of its decisions, 1, that becomes another, 2.
        slower: Factor on its durations.
        failing: Share of its calls that fail besides.
        longer: Factor on its inputs.
    """

    begins_s: float
    channel: int = -1
    moved: float = 0.0
    flipped: float = 0.0
    slower: float = 1.0
    failing: float = 0.0
    longer: float = 1.0


@dataclass(frozen=True, slots=True)
class Application:
    """One model and its traffic.

    Args:
        name: Of the model.
        rate_per_s: Mean calls per second.
        channels: Ingestion channels.
        decisions: Classes or items; 0 where it decides nothing.
        tokens: (t, 2) float64 context and generated tokens of calls to draw from, by context; none where it is no LLM.
        cycle: How far the rate swings over the day.
        swing: How far values swing with it: inputs, durations as the load goes, and how much night and day differ in decisions.
        weekend: Share of decisions that are the last one at weekends, when durations are shorter by twice that share.
    """

    name: str
    rate_per_s: float
    channels: int
    decisions: int
    tokens: Floats | None = None
    cycle: float = 0.5
    swing: float = 0.0
    weekend: float = 0.0


def classifier(rate_per_s: float = 8.0) -> Application:
    """Return a text classifier behind four channels."""
    return Application("classifier", rate_per_s, channels=4, decisions=8)


def recommender(rate_per_s: float = 8.0, channels: int = 16, items: int = 1_000) -> Application:
    """Return a recommender fed by many channels."""
    return Application("recommender", rate_per_s, channels=channels, decisions=items)


def llm(data: Path, rate_per_s: float = 2.0) -> Application:
    """Return an LLM service.

    Args:
        data: Folder of the public data; without its trace tokens are drawn from a fitted stand-in.
        rate_per_s: Mean calls per second.
    """
    return Application("llm", rate_per_s, channels=2, decisions=0, tokens=_tokens(data / "azure-llm" / "code.csv"))


def _tokens(path: Path) -> Floats:
    if path.is_file():
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            next(lines)
            tokens = np.array([(float(context), float(generated)) for _, context, generated in lines])
    else:
        drawn = np.random.default_rng(0).lognormal(np.log(_AZURE_MEDIANS), _AZURE_SPREADS, (10_000, 2))
        tokens = np.maximum(np.round(drawn), 1.0)
    return np.asarray(tokens[np.argsort(tokens[:, 0], kind="stable")])


class World:
    """The calls of one application as time passes.

    Args:
        application: What is simulated.
        rng: Randomness.
        step_s: Seconds of each step.
        incident: What goes wrong; None for a quiet world.
    """

    def __init__(
        self, application: Application, rng: np.random.Generator, step_s: float, incident: Incident | None = None
    ) -> None:
        self._application = application
        self._rng = rng
        self._step_s = step_s
        self._incident = incident
        self._encoder = Encoder("simulated", application.name, "1.0", rng)
        self._noise = 0.0
        self._weights = rng.dirichlet(np.full(application.channels, 5.0))
        self._moods = [_tastes(application, rng) for _ in range(2)]  # by night and by day
        self._awaited: list[tuple[int, Columns]] = []  # step in which late calls come

    def calls(self, step: int) -> Columns:
        """Return the calls that ended in a step; steps follow each other."""
        second = step * self._step_s
        count = int(self._rng.poisson(self._rate(second) * self._step_s))
        rng, application = self._rng, self._application
        channel = rng.choice(application.channels, count, p=self._weights)
        wrong = self._hit(second, channel)
        lengths = self._lengths(second, count, wrong)
        seconds = self._seconds(second, lengths[:, 0], wrong)
        end = START_NS + ((second + np.sort(rng.random(count)) * self._step_s) * SECOND_NS).astype(np.int64)
        failing = np.where(wrong, self._incident.failing if self._incident else 0.0, 0.0)
        tokens = application.tokens is not None
        nothing = np.full(count, -1, np.int64)
        return self._with_gaps(
            Columns(
                start_ns=end - (seconds * SECOND_NS).astype(np.int64),
                end_ns=end,
                failed=rng.random(count) < 0.005 + failing,
                channel=channel,
                decision=self._decisions(second, channel, wrong) if application.decisions else nothing,
                client=np.minimum(rng.geometric(0.02, count), 500),
                region=rng.choice(3, count, p=(0.5, 0.3, 0.2)),
                input_tokens=lengths[:, 0].astype(np.int64) if tokens else nothing,
                output_tokens=lengths[:, 1].astype(np.int64) if tokens else nothing,
                input_size=nothing if tokens else lengths[:, 0].astype(np.int64),
                score=np.full(count, np.nan) if tokens else rng.beta(8.0, 1.5, count),
            )
        )

    def requests(self, step: int) -> Iterator[bytes]:
        """Yield the encoded requests that come in a step: its own calls, and late ones of earlier steps."""
        calls = self.calls(step)
        luck = self._rng.random(len(calls))
        late, very_late = luck < _LATE, luck < _VERY_LATE
        self._awaited += [
            (step + _VERY_LATE_STEPS, calls.where(very_late)),
            (step + _LATE_STEPS, calls.where(late & ~very_late)),
        ]
        come = calls.where(~late)
        for _, others in (one for one in self._awaited if one[0] <= step):
            come += others
        self._awaited = [one for one in self._awaited if one[0] > step]
        if len(come):
            yield self._encoder.request(come)

    def _rate(self, second: float) -> float:
        kept = math.exp(-self._step_s / _NOISE_MEMORY_S)
        self._noise = kept * self._noise + _NOISE * math.sqrt(1 - kept * kept) * float(self._rng.normal())
        day = 1 + self._application.cycle * math.sin(2 * math.pi * (second / DAY_S - 0.25))
        week = 1 + 0.15 * math.cos(2 * math.pi * second / WEEK_S)
        return self._application.rate_per_s * day * week * math.exp(self._noise)

    def _hit(self, second: float, channel: Ints) -> Flags:
        """Return the calls that the incident is about."""
        if self._incident is None or second < self._incident.begins_s:
            return np.zeros(channel.size, bool)
        return np.ones(channel.size, bool) if self._incident.channel < 0 else channel == self._incident.channel

    def _lengths(self, second: float, count: int, wrong: Flags) -> Floats:
        """Return (n, 2) float64 length of inputs and outputs."""
        longer = 1 + max(_LEAST_SWING, self._application.swing) * math.sin(2 * math.pi * second / DAY_S)
        if self._application.tokens is None:
            lengths = np.stack((longer * self._rng.lognormal(3.5, 0.5, count), np.ones(count)), axis=1)
        else:
            ranks = self._rng.random(count) ** (1 / longer)  # long prompts are more frequent by day; limits stay limits
            lengths = self._application.tokens[(ranks * len(self._application.tokens)).astype(np.int64)].copy()
        if self._incident:
            lengths[wrong, 0] *= self._incident.longer
        return np.maximum(np.round(lengths), 1.0)

    def _seconds(self, second: float, lengths: Floats, wrong: Flags) -> Floats:
        """Return (n,) float64 durations: they follow the input and the load, and a few are very long."""
        seconds = 0.002 + 0.0004 * lengths * self._rng.lognormal(0.0, 0.3, lengths.size)
        tail = self._rng.random(lengths.size) < _TAIL
        seconds[tail] *= 1 + self._rng.pareto(_TAIL_INDEX, int(tail.sum()))
        seconds *= 1 + self._application.swing * math.sin(2 * math.pi * (second / DAY_S - 0.25))
        seconds *= 1 - 2 * self._application.weekend * _weekend(second)
        if self._incident:
            seconds[wrong] *= self._incident.slower
        return np.minimum(seconds, 600.0)

    def _decisions(self, second: float, channel: Ints, wrong: Flags) -> Ints:
        """Return (n,) int64 decisions: between the taste of the night and that of the day, by channel."""
        by_day = 0.5 + 0.5 * math.sin(2 * math.pi * (second / DAY_S - 0.25))
        of_day = self._rng.random(channel.size) < by_day
        luck = self._rng.random(channel.size)
        decisions = np.empty(channel.size, np.int64)
        for mood, chosen in zip(self._moods, (~of_day, of_day), strict=True):
            for one in np.unique(channel[chosen]).tolist():
                here = chosen & (channel == one)
                decisions[here] = np.searchsorted(mood[one], luck[here])
        if self._application.weekend:
            decisions[self._rng.random(channel.size) < self._application.weekend * _weekend(second)] = (
                self._application.decisions - 1
            )
        if self._incident:
            luck = self._rng.random(channel.size)
            decisions[wrong & (decisions == 1) & (luck < self._incident.flipped)] = 2
            decisions[wrong & (luck < self._incident.moved)] = self._application.decisions - 1
        return decisions

    def _with_gaps(self, calls: Columns) -> Columns:
        """Return the calls with some values left out."""
        for values in (calls.decision, calls.input_tokens, calls.output_tokens, calls.input_size):
            values[self._rng.random(len(calls)) < _MISSING] = -1
        calls.score[self._rng.random(len(calls)) < _MISSING] = np.nan
        return calls


def _weekend(second: float) -> float:
    """Return how far it is weekend: from the first hour of Saturday, 1; from the first hour of Monday, 0; the first week begins at once."""
    hours = second % WEEK_S / 3_600
    return min(max(hours - _SATURDAY_H, 0.0), 1.0) + (max(1.0 - hours, 0.0) if second >= WEEK_S else 0.0)


def _tastes(application: Application, rng: np.random.Generator) -> Floats:
    """Return (c, d) float64 running shares of decisions by channel: items by Zipf, with a popular head that channels differ in.

    Night and day differ little: the popularity is the same, each mood has a tenth of noise on it, or as much as values swing.
    """
    decisions = max(application.decisions, 1)
    shares = np.tile(1.0 / np.arange(1, decisions + 1), (application.channels, 1))
    variance = max(_MOOD, application.swing) ** 2
    shares *= rng.gamma(1 / variance, variance, shares.shape)
    running = np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)
    running[:, -1] = 1.0
    return np.asarray(running)
