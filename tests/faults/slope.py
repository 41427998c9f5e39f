"""Whether memory grows: a robust slope, its noise, and what of it would matter. Pure.

The slope is that of Theil and Sen (the median over all pairs of points), which single peaks do not move. Its noise is found by
fitting again and again to the line with residuals drawn anew, in blocks, because what memory is in use now says much about the
next second.
"""

import dataclasses
import random
import statistics

POINTS = 60  # each the median of what was sampled in its share of the time
DRAWS = 200
MATTERS_PER_HOUR = 0.01  # of the memory in use: the tenth that operators are told to leave free would last ten hours


@dataclasses.dataclass
class Slope:
    """In units a second; 98 % of the draws lie between low and high (the truth in some 93 % of made-up series)."""
    value: float
    low: float
    high: float


@dataclasses.dataclass
class Growth:
    middle: float  # the median of all samples
    whole: Slope
    last: Slope  # of the second half alone: what is a leak has not stopped by then

    @property
    def matters(self):
        """From which slope on."""
        return self.middle * MATTERS_PER_HOUR / 3600

    @property
    def found_from(self):
        """A leak that is found nine times in ten: noise may take as much from the value as it adds to the width."""
        return max(self.matters, self.last.high - self.last.low, self.whole.high - self.whole.low)

    @property
    def leaks(self):
        return all(slope.low > 0 and slope.value > self.matters for slope in (self.whole, self.last))


def thin(samples, points=POINTS):
    """[(time, value)], at most so many of them, each made of neighbours."""
    count = min(points, len(samples))
    groups = [samples[len(samples) * i // count:len(samples) * (i + 1) // count] for i in range(count)]
    return [(statistics.median(t for t, _ in group), statistics.median(v for _, v in group)) for group in groups]


def theil_sen(times, values):
    return statistics.median((values[j] - values[i]) / (times[j] - times[i])
                             for i in range(len(times)) for j in range(i + 1, len(times)))


def fit(samples, chance):
    """The Slope of [(time, value)]."""
    points = thin(samples)
    times, values = [t for t, _ in points], [v for _, v in points]
    slope = theil_sen(times, values)
    offset = statistics.median(v - slope * t for t, v in points)
    residuals = [v - slope * t - offset for t, v in points]
    block = max(2, round(len(points) ** 0.5))
    drawn = []
    for _ in range(DRAWS):
        noise = []
        while len(noise) < len(points):
            start = chance.randrange(len(points))
            noise += [residuals[(start + i) % len(points)] for i in range(block)]
        drawn.append(theil_sen(times, [slope * t + offset + noise[i] for i, t in enumerate(times)]))
    drawn.sort()
    return Slope(slope, drawn[round(0.01 * (DRAWS - 1))], drawn[round(0.99 * (DRAWS - 1))])


def judge(samples, seed=1):
    """The Growth of [(time in s, value)], or None where there are too few to tell."""
    if len(samples) < 20:
        return None
    chance = random.Random(seed)
    return Growth(statistics.median(value for _, value in samples), fit(samples, chance),
                  fit(samples[len(samples) // 2:], chance))
