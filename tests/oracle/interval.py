"""Intervals of shares, of differences of shares and of means, and quantiles."""

from math import floor, fsum, sqrt

from scipy.stats import norm, t


def normal(confidence):
    return norm.ppf((1 + confidence) / 2)


def wilson(share, n, confidence):
    """Wilson (1927), for a share of n (which need not be whole)."""
    if n == 0:
        return None, None
    z = normal(confidence)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def wald_share(share, n, confidence):
    half = normal(confidence) * sqrt(share * (1 - share) / n)
    return max(0.0, share - half), min(1.0, share + half)


def agresti_coull(share, n, confidence):
    z = normal(confidence)
    more = n + z * z
    return wald_share((share * n + z * z / 2) / more, more, confidence)


def wald_difference(up, down, n, confidence):
    """Limits of up - down, two shares of one multinomial."""
    difference = up - down
    half = normal(confidence) * sqrt(max(0.0, up + down - difference ** 2) / n)
    return max(-1.0, difference - half), min(1.0, difference + half)


def adjusted_difference(up, down, n, confidence):
    """Bonett and Price (2012): one more up and one more down, then Wald."""
    more = n + 2
    return wald_difference((up * n + 1) / more, (down * n + 1) / more, more, confidence)


def tango(up, down, n, confidence):
    """Tango (1998): the differences that a score test does not reject, found by bisection."""
    z = normal(confidence)
    estimate = up - down

    def accepted(difference):
        low = likeliest_down(up, down, difference)
        variance = max(0.0, 2 * low + difference - difference ** 2)
        return abs(estimate - difference) <= z * sqrt(variance / n)

    def edge(rejected, kept):
        for _ in range(200):
            middle = (rejected + kept) / 2
            if middle in (rejected, kept):
                break
            if accepted(middle):
                kept = middle
            else:
                rejected = middle
        return kept

    return edge(-1.0, estimate), edge(1.0, estimate)


def likeliest_down(up, down, difference):
    """The lower share with the greatest likelihood, when up - down is ``difference``.

    The likelihood is concave, so its slope has one change of sign, found by bisection.
    """
    neither = 1 - up - down
    low, high = max(0.0, -difference), (1 - difference) / 2

    def slope(q):
        parts = ((1, up, q + difference), (1, down, q), (-2, neither, 1 - 2 * q - difference))
        return fsum(times * share / max(under, 1e-300) for times, share, under in parts if share > 1e-12)

    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if slope(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def mean_of(values):
    return fsum(values) / len(values)


def robust_variance(clusters):
    """C/(C-1) times the sum of squared sums of a cluster's deviations, over n squared."""
    values = [x for cluster in clusters for x in cluster]
    m, n, c = mean_of(values), len(values), len(clusters)
    return c / (c - 1) * fsum(fsum(x - m for x in cluster) ** 2 for cluster in clusters) / n ** 2


def design_effect(clusters):
    """At least 1; 1 when nobody answered twice, nothing varies, or there are fewer than two clusters."""
    values = [x for cluster in clusters for x in cluster]
    if len(clusters) < 2 or all(len(cluster) == 1 for cluster in clusters) or min(values) == max(values):
        return 1.0
    m, n = mean_of(values), len(values)
    simple = fsum((x - m) ** 2 for x in values) / n / n
    return max(1.0, robust_variance(clusters) / simple)


def student(clusters, confidence, lowest, highest):
    """Limits of a mean, by cluster, clipped to the scale; none for fewer than two clusters."""
    if len(clusters) < 2:
        return None, None
    m = mean_of([x for cluster in clusters for x in cluster])
    half = t.ppf((1 + confidence) / 2, len(clusters) - 1) * sqrt(robust_variance(clusters))
    return max(lowest, m - half), min(highest, m + half)


def quantile(values, share):
    """Hyndman and Fan's type 7."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
