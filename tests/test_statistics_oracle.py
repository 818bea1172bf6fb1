"""The C statistics against SciPy, statsmodels, lifelines, numpy and math.fsum, on seeded random cases.

Compiles the files into a temporary shared library; run from anywhere: pytest tests/test_statistics_oracle.py
"""

import ctypes as c
import math
import pathlib
import subprocess
import warnings

import pytest

np = pytest.importorskip("numpy")
stats = pytest.importorskip("scipy.stats")
special = pytest.importorskip("scipy.special")
proportion = pytest.importorskip("statsmodels.stats.proportion")
lifelines = pytest.importorskip("lifelines")

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = [
    *(f"lib/base/{name}.c" for name in ("exact_sum", "number", "memory", "text", "bytes")),
    *(f"lib/statistics/{name}.c" for name in ("distributions", "intervals", "survival")),
]
REAL, POINTER = c.c_double, c.POINTER(c.c_double)


class Clusters(c.Structure):
    _fields_ = [(name, REAL) for name in ("n", "clusters", "sum", "sum_squared", "sum_times_size", "size_squared")]


class ValueCount(c.Structure):
    _fields_ = [("value", c.c_int64), ("count", c.c_int64)]


class Row(c.Structure):
    _fields_ = [(name, c.c_int64) for name in ("time", "at_risk", "events", "competing")] + [
        (name, REAL) for name in ("survival", "incidence", "variance", "low", "high")
    ]


class Survival(c.Structure):
    _fields_ = [("rows", c.POINTER(Row)), ("count", c.c_size_t), ("subjects", c.c_int64)]


@pytest.fixture(scope="module")
def lib(tmp_path_factory):
    path = tmp_path_factory.mktemp("statistics") / "statistics.so"
    inline = path.with_name("inline.c")  # what the header has, as a function that can be called
    inline.write_text('#include "exact_sum.h"\nvoid exact_add(ctm__exact_sum *s, double x) { ctm__exact_add(s, x); }\n')
    includes = [f"-I{ROOT / part}" for part in ("include", "lib/base", "lib/statistics")]
    subprocess.run(
        ["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", *includes, "-o", path]
        + [inline, *(ROOT / source for source in SOURCES)]
        + ["-lm"],
        check=True,
    )
    lib = c.CDLL(str(path))
    for name, count in {
        "normal_cdf": 1, "normal_quantile": 1, "t_cdf": 2, "t_quantile": 2, "chi2_cdf": 2, "chi2_sf": 2,
        "gamma_p": 2, "gamma_q": 2, "beta_i": 3,
    }.items():  # fmt: skip
        function = getattr(lib, "ctm__" + name)
        function.restype, function.argtypes = REAL, [REAL] * count
    lib.ctm__wilson.argtypes = [REAL] * 3 + [POINTER] * 2
    lib.ctm__nps_interval.argtypes = [c.c_int] + [REAL] * 4 + [POINTER] * 2
    lib.ctm__t_interval.argtypes = [REAL] * 6 + [POINTER] * 2
    lib.ctm__robust_variance.restype, lib.ctm__robust_variance.argtypes = REAL, [c.POINTER(Clusters)]
    lib.ctm__deff.restype, lib.ctm__deff.argtypes = REAL, [c.POINTER(Clusters), REAL]
    for name in ("quantile_sorted", "quantile_select", "quantile_counts"):
        function = getattr(lib, "ctm__" + name)
        function.restype, function.argtypes = REAL, [c.c_void_p, c.c_size_t, REAL]
    lib.ctm__exact_value.restype = REAL
    lib.exact_add.argtypes = [c.c_void_p, REAL]
    lib.ctm__survival_fit.argtypes = [c.c_void_p] * 3 + [c.c_size_t, REAL, c.POINTER(Survival)]
    lib.ctm__parse_real.restype = c.c_bool
    lib.ctm__parse_real.argtypes = [c.c_char_p, c.c_size_t, POINTER]
    lib.ctm__format_real.restype, lib.ctm__format_real.argtypes = c.c_size_t, [c.c_char_p, REAL]
    return lib


@pytest.fixture
def rng():
    return np.random.default_rng(20240229)


@pytest.fixture(scope="module")
def env(lib):
    memory = c.create_string_buffer(4096)
    lib.ctm__env_init(memory, None)
    return memory


def limits(function, *arguments):
    low, high = REAL(), REAL()
    function(*arguments, low, high)
    return low.value, high.value


def close(got, wanted, relative=1e-12, absolute=0.0):
    assert got == wanted or abs(got - wanted) <= max(relative * abs(wanted), absolute), (got, wanted)


# ---- exact sums, numbers


def test_exact_sum(lib, rng):
    for round_ in range(3000):
        n = int(rng.integers(0, 60))
        values = rng.normal(size=n) * 2.0 ** rng.integers(*[(-4, 4), (-60, 60), (-1000, 1000)][round_ % 3], size=n)
        if round_ % 5 == 0:
            values = np.concatenate([values, -values[::2], rng.integers(-9, 9, 5) * 5e-324])
        if round_ % 7 == 0:
            values = np.round(values, 2)
        parts = [c.create_string_buffer(1024) for _ in range(3)]
        for value, part in zip(values, rng.integers(0, 3, len(values))):
            lib.exact_add(parts[part], value)
        for part in parts[1:]:
            lib.ctm__exact_merge(parts[0], part)
        got = lib.ctm__exact_value(parts[0])
        wanted = math.fsum(values)
        assert got.hex() == (wanted + 0.0).hex()


def test_parse_and_format(lib, rng):
    text, value = c.create_string_buffer(64), REAL()
    for bits in rng.integers(0, 2**64, 20000, dtype=np.uint64):
        x = float(bits.view(np.float64))
        if not math.isfinite(x):
            continue
        for shown in (repr(x), "%.3e" % x, "%.25e" % x):
            assert lib.ctm__parse_real(shown.encode(), len(shown), value) == math.isfinite(float(shown))
            if math.isfinite(float(shown)):
                assert value.value == float(shown)
        length = lib.ctm__format_real(text, x)
        assert float(text.value[:length]) == x
    for x in np.round(rng.normal(size=20000) * 1000, 3):
        length = lib.ctm__format_real(text, x)
        assert float(text.value) == x and len(text.value) == length <= len(repr(float(x)))


# ---- distributions


def test_normal(lib, rng):
    for x in np.concatenate([rng.normal(size=2000) * 3, rng.uniform(-37, 9, 1000)]):
        close(lib.ctm__normal_cdf(x), special.ndtr(x), 1e-12)
    for p in np.concatenate([rng.uniform(size=2000), 10.0 ** rng.uniform(-300, 0, 1000)]):
        close(lib.ctm__normal_quantile(p), special.ndtri(p), 1e-13, 1e-15)


def test_t(lib, rng):
    for df in np.concatenate([rng.integers(1, 50, 1500), 10 ** rng.uniform(-0.3, 8, 1500)]):
        t = rng.standard_t(3) * 2
        close(lib.ctm__t_cdf(t, df), stats.t.cdf(t, df), 1e-12)
        p = rng.uniform()
        if rng.uniform() < 0.5:
            p = 10 ** rng.uniform(-10, 0)
        close(stats.t.cdf(lib.ctm__t_quantile(p, df), df), p, 1e-12)
        if p > 1e-6:
            close(lib.ctm__t_quantile(p, df), stats.t.ppf(p, df), 1e-12, 1e-14)


def test_chi2_and_gamma(lib, rng):
    for df in np.concatenate([rng.integers(1, 60, 1500), 10 ** rng.uniform(-1, 5, 1500)]):
        x = stats.chi2.rvs(df, random_state=rng) * rng.choice([0.5, 1, 1, 2])
        if x == 0:
            continue
        for got, wanted in (
            (lib.ctm__chi2_cdf(x, df), special.gammainc(df / 2, x / 2)),
            (lib.ctm__chi2_sf(x, df), special.gammaincc(df / 2, x / 2)),
        ):
            close(got, wanted, 1e-12 if wanted > 1e-30 else 1e-11, 1e-300)


def test_beta(lib, rng):
    for _ in range(4000):
        a, b = 10 ** rng.uniform(-1, 4, 2)
        x = rng.beta(a, b) if rng.uniform() < 0.7 else rng.uniform()
        wanted = special.betainc(a, b, x)
        if 1e-200 < wanted:
            close(lib.ctm__beta_i(a, b, x), wanted, 2e-12)


# ---- intervals


def test_wilson(lib, rng):
    for _ in range(4000):
        n = int(10 ** rng.uniform(0, 7))
        successes = int(rng.integers(0, n + 1)) if rng.uniform() < 0.8 else int(rng.choice([0, n]))
        confidence = float(rng.choice([0.8, 0.9, 0.95, 0.99, 0.999]))
        wanted = proportion.proportion_confint(successes, n, 1 - confidence, method="wilson")
        for got, limit in zip(limits(lib.ctm__wilson, successes, n, confidence), wanted):
            close(got, limit, 1e-12, 1e-14)
    assert all(math.isnan(x) for x in limits(lib.ctm__wilson, 0, 0, 0.95))


def slow_tango(p, d, n, confidence):
    """The score of each delta with the constrained estimate found by maximising the likelihood, not by formula."""
    from scipy import optimize

    z = stats.norm.isf((1 - confidence) / 2)
    b, k = p * n, d * n

    def estimate(delta):
        low, high = max(0.0, -delta), (1 - delta) / 2  # of q21; q12 = q21 + delta; q12 + q21 <= 1
        if high - low < 1e-12:
            return low
        # The derivative of the log likelihood falls in q21.
        def slope(q):
            terms = ((b, q + delta, 1), (k, q, 1), (n - b - k, 1 - 2 * q - delta, -2))
            return sum(sign * count / max(share, 1e-300) for count, share, sign in terms if count > 1e-12)

        a, o = low + (high - low) * 1e-13, high - (high - low) * 1e-13
        if slope(a) <= 0:
            return low
        if slope(o) >= 0:
            return high
        return optimize.brentq(slope, a, o, xtol=1e-15, rtol=1e-14)

    def score(delta):
        variance = 2 * estimate(delta) + delta * (1 - delta)
        return math.sqrt(n) * (p - d - delta) / math.sqrt(max(variance, 1e-300))

    edge = 1e-9
    low = -1 if p - d <= -1 else optimize.brentq(lambda x: score(x) - z, -1 + edge, p - d, xtol=1e-14)
    high = 1 if p - d >= 1 else optimize.brentq(lambda x: score(x) + z, p - d, 1 - edge, xtol=1e-14)
    return 100 * low, 100 * high


def test_tango(lib, rng):
    low, high = limits(lib.ctm__nps_interval, 0, 1.0, 0.0, 5, 0.95)
    z2 = stats.norm.isf(0.025) ** 2
    close(low, 100 * (5 - z2) / (5 + z2), 1e-13)  # closed when all are promoters: 13.1
    assert high == 100 and round(low, 1) == 13.1
    for round_ in range(400):
        n = int(10 ** rng.uniform(0.3, 5))
        counts = rng.multinomial(n, rng.dirichlet([1, 1, 1]))
        if round_ % 4 == 0:
            counts[rng.integers(0, 3)] = 0
            n = max(int(counts.sum()), 1)
        size = n / rng.choice([1, 1.7])
        p, d = counts[0] / n, counts[2] / n
        got = limits(lib.ctm__nps_interval, 0, p, d, size, 0.95)
        for x, wanted in zip(got, slow_tango(p, d, size, 0.95)):
            close(x, wanted, 0, 1e-5 if abs(wanted) > 99.9 else 1e-8)
        assert got[0] <= 100 * (p - d) + 1e-12 and got[1] >= 100 * (p - d) - 1e-12
        swapped = limits(lib.ctm__nps_interval, 0, d, p, size, 0.95)
        assert swapped == (-got[1], -got[0])


def test_wald_and_adjusted(lib, rng):
    z = stats.norm.isf(0.025)
    for _ in range(1000):
        n = int(rng.integers(1, 500))
        b, rest, k = (int(x) for x in rng.multinomial(n, rng.dirichlet([1, 1, 1])))
        for method, (b_, k_, n_) in {1: (b, k, n), 2: (b + 1, k + 1, n + 2)}.items():
            p, d = b_ / n_, k_ / n_
            half = z * math.sqrt(max(p + d - (p - d) ** 2, 0) / n_)
            got = limits(lib.ctm__nps_interval, method, b / n, k / n, n, 0.95)
            close(got[0], max(100 * (p - d - half), -100), 1e-12, 1e-6 if half < 1e-7 else 1e-11)
            close(got[1], min(100 * (p - d + half), 100), 1e-12, 1e-6 if half < 1e-7 else 1e-11)


def test_means(lib, rng):
    for _ in range(1000):
        x = rng.normal(size=int(rng.integers(2, 40))) * 3 + 5
        variance = x.var(ddof=1) / len(x)
        wanted = stats.t.interval(0.9, len(x) - 1, loc=x.mean(), scale=math.sqrt(variance))
        got = limits(lib.ctm__t_interval, x.mean(), variance, len(x) - 1, 0.9, -1e9, 1e9)
        close(got[0], wanted[0], 1e-12, 1e-12)
        close(got[1], wanted[1], 1e-12, 1e-12)
        assert limits(lib.ctm__t_interval, x.mean(), variance, len(x) - 1, 0.9, 4.9, 5.1)[0] >= 4.9
    assert all(math.isnan(x) for x in limits(lib.ctm__t_interval, 5, 0, 0, 0.95, 0, 10))


def test_cluster_variance(lib, rng):
    from fractions import Fraction

    import statsmodels.api as sm

    for round_ in range(600):
        clusters = int(rng.integers(2, 60))
        size = rng.integers(1, 6, clusters) if round_ % 6 else np.ones(clusters, int)
        shift = [0, 0, 1000, 10**6][round_ % 4]
        owner = np.repeat(np.arange(clusters), size)
        x = rng.integers(0, 11, len(owner)) + shift
        n, total = len(x), int(x.sum())
        s = np.bincount(owner, weights=x).astype(np.int64)
        of = Clusters(n, clusters, total, int((s * s).sum()), int((s * size).sum()), int((size * size).sum()))
        mean = Fraction(total, n)
        exact = sum((int(a) - int(b) * mean) ** 2 for a, b in zip(s, size)) / n**2 * Fraction(clusters, clusters - 1)
        got = lib.ctm__robust_variance(of)
        close(got, float(exact), 1e-12, 1e-18)
        simple = float(x.var())
        wanted = max(1.0, float(exact) / (simple / n)) if simple > 0 and clusters < n else 1.0
        close(lib.ctm__deff(of, simple), wanted, 1e-11)
        if round_ % 20 == 0 and shift == 0:
            fit = sm.OLS(x.astype(float), np.ones(n)).fit(
                cov_type="cluster", cov_kwds={"groups": owner, "use_correction": False}
            )
            close(got, float(fit.cov_params()[0, 0]) * clusters / (clusters - 1), 1e-9, 1e-15)


# ---- quantiles


def quantiles(lib, values, q):
    values = np.asarray(values, np.int64)
    ordered, scratch = np.sort(values), values.copy()
    unique, counts = np.unique(values, return_counts=True)
    pairs = np.ascontiguousarray(np.stack([unique, counts], 1).astype(np.int64))
    result = {
        lib.ctm__quantile_sorted(ordered.ctypes.data, len(ordered), q),
        lib.ctm__quantile_select(scratch.ctypes.data, len(scratch), q),
        lib.ctm__quantile_counts(pairs.ctypes.data, len(pairs), q),
    }
    assert (np.sort(scratch) == ordered).all()
    assert len(result) == 1, result
    return result.pop()


def test_quantiles(lib, rng):
    for round_ in range(4000):
        n = int(10 ** rng.uniform(0, 3))
        high = [3, 100, 10**9, 2**52][round_ % 4]
        values = rng.integers(-high, high, n)
        q = float(rng.choice([0, 0.25, 0.5, 0.75, 0.9, 0.95, 1])) if round_ % 2 else rng.uniform()
        assert quantiles(lib, values, q) == np.quantile(values, q)


def test_quantile_orders_that_hurt(lib, rng):
    for n in (17, 1000, 4097, 100_000):
        up = np.arange(n)
        organ = np.concatenate([up[: n // 2], up[: n - n // 2][::-1]])
        for values in (up, up[::-1], organ, up % 2, up * 0, np.where(up % 3 == 0, n, up), np.roll(up, n // 3)):
            for q in (0.0, 0.01, 0.5, 0.999, 1.0):
                assert quantiles(lib, values, q) == np.quantile(values, q)
    assert quantiles(lib, [-(2**63), 2**63 - 1], 0.5) == 0
    assert math.isnan(lib.ctm__quantile_sorted(None, 0, 0.5))


# ---- survival


def fit(lib, env, times, codes, confidence=0.95):
    times, codes = np.ascontiguousarray(times, np.int64), np.ascontiguousarray(codes, np.uint8)
    out = Survival()
    assert lib.ctm__survival_fit(env, times.ctypes.data, codes.ctypes.data, len(times), confidence, out) == 0
    rows = [{name: getattr(out.rows[i], name) for name, _ in Row._fields_} for i in range(out.count)]
    lib.ctm__survival_free(env, c.byref(out))
    return rows


def test_kaplan_meier(lib, env, rng):
    for round_ in range(150):
        n = int(10 ** rng.uniform(0, 3))
        times = rng.integers(1, 10 ** int(rng.integers(1, 7)), n)
        codes = (rng.uniform(size=n) < rng.uniform()).astype(np.uint8)
        km = lifelines.KaplanMeierFitter(alpha=0.1).fit(times, codes)
        low, high = (km.confidence_interval_.iloc[:, i] for i in (0, 1))
        for row in fit(lib, env, times, codes, 0.9):
            close(row["survival"], km.survival_function_.loc[row["time"]].iloc[0], 1e-9, 1e-12)
            close(1 - row["high"], low.loc[row["time"]], 1e-9, 1e-12)
            close(1 - row["low"], high.loc[row["time"]], 1e-9, 1e-12)
            assert row["at_risk"] == (times >= row["time"]).sum()


def test_aalen_johansen(lib, env, rng):
    for round_ in range(80):
        n = int(10 ** rng.uniform(0.5, 2.5))
        # lifelines jitters times that two kinds of event share: each kind gets its own residue.
        codes = rng.integers(0, 3, n).astype(np.uint8)
        times = rng.integers(1, 10 ** int(rng.integers(2, 6)), n) * 3 + codes
        if not ((codes == 1).any() and (codes == 2).any()):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            aj = lifelines.AalenJohansenFitter().fit(times, codes, event_of_interest=1)
        for row in fit(lib, env, times, codes):
            close(row["incidence"], aj.cumulative_density_.loc[row["time"]].iloc[0], 1e-9, 1e-12)
            variance = aj.variance_.loc[row["time"]]
            if math.isfinite(variance):
                close(row["variance"], variance, 1e-9, 1e-14)
                wanted = sorted(aj.confidence_interval_.loc[row["time"]])
                if all(map(math.isfinite, wanted)) and variance > 1e-13:
                    close(row["low"], wanted[0], 1e-7, 1e-9)
                    close(row["high"], wanted[1], 1e-7, 1e-9)


def test_ties_between_events(lib, env, rng):
    """Slow and by the book, where lifelines cannot go."""
    for _ in range(200):
        n = int(rng.integers(3, 60))
        times, codes = rng.integers(1, 12, n), rng.integers(0, 3, n)
        if not (codes == 2).any():
            continue
        seen = sorted(set(times[codes > 0]))
        state, survival, incidence = [], 1.0, 0.0
        for t in seen:
            r = (times >= t).sum()
            d1, d = ((times == t) & (codes == 1)).sum(), ((times == t) & (codes > 0)).sum()
            incidence += survival * d1 / r
            state.append((r, d, d1, survival, incidence))
            survival *= 1 - d / r
        for i, row in enumerate(fit(lib, env, times, codes)):
            now, variance = state[i][4], 0.0
            for r, d, d1, before, then in state[: i + 1]:
                variance += (now - then) ** 2 * d / (r * (r - d)) if r > d else 0.0
                variance += before**2 * d1 * (r - d1) / r**3 - 2 * (now - then) * before * d1 / r**2
            close(row["incidence"], now, 1e-12, 1e-15)
            close(row["variance"], max(variance, 0), 1e-10, 1e-14)
