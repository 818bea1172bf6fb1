"""A reader of slabs written from docs/format.md alone reads what the library writes.

Compiles the codec into a temporary shared library; run from anywhere: pytest tests/test_slab_format.py
"""

import ctypes as c
import math
import pathlib
import random
import struct
import subprocess
import zlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "lib" / "slab").glob("*.c")) + [
    ROOT / "lib" / "base" / f"{name}.c" for name in "memory dictionary hash bytes text status deflate".split()
]
WORD = (1 << 64) - 1
IDENTITY, TIME, INTS, CODES, REALS, TEXTS = range(1, 7)
NAN = math.nan


# ---- the reader ------------------------------------------------------------------------------------------------------


def mix(x):
    x = (x ^ x >> 32) * 0xD6E8FEB86659FD93 & WORD
    x = (x ^ x >> 29) * 0xD6E8FEB86659FD93 & WORD
    return x ^ x >> 32


def checksum(data, seed=0):
    lanes = [seed ^ k for k in (0xA0761D6478BD642F, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3, 0x589965CC75374CC3)]
    padded = data + bytes(-len(data) % 32)
    for at in range(0, len(padded), 32):
        for i, word in enumerate(struct.unpack_from("<4Q", padded, at)):
            x = (lanes[i] ^ word) * 0x9E3779B97F4A7C15 & WORD
            lanes[i] = (x << 29 | x >> 35) & WORD
    h = mix(len(data))
    for lane in lanes:
        h = mix(h ^ lane)
    return h


def signed(x):
    x &= WORD
    return x - (1 << 64) if x >> 63 else x


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data)
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self):
        return self.take(1)[0]

    def u16(self):
        return int.from_bytes(self.take(2), "little")

    def number(self, count):
        return int.from_bytes(self.take(count), "little", signed=True)

    def packed(self, n, width):
        whole = int.from_bytes(self.take((n * width + 7) // 8), "little")
        values = [whole >> i * width & (1 << width) - 1 for i in range(n)]
        assert whole >> n * width == 0
        return values

    def stream(self, n, modes=(0, 1, 2, 3, 4)):
        first = self.u8()
        mode, base = first & 15, self.number(first >> 4)
        assert mode in modes
        if mode == 0:
            return [base] * n
        if mode == 1:
            return [signed(base + x) for x in self.packed(n, self.u8())]
        if mode == 2:
            return self.patched(n, base)
        if mode == 3:
            assert first >> 4 == 0
            runs = self.u16()
            lengths = self.stream(runs, (0, 1, 2))
            values = self.stream(runs, (0, 1, 2, 4))
            assert sum(lengths) == n and min(lengths) >= 1
            return [value for value, length in zip(values, lengths, strict=True) for _ in range(length)]
        values = [base]
        for step in self.stream(n - 1, (0, 1, 2)):
            values.append(signed(values[-1] + step))
        return values

    def patched(self, n, base):
        w, h, f, how = (self.u8() for _ in range(4))
        longs, fars = self.u16(), self.u16()
        far_base = self.number(how >> 4)
        assert w <= 63 and w + h <= 64 and w + f <= 64 and how & 14 == 0
        position = (n - 1).bit_length()
        lows = self.packed(n, w)
        values = [base + low for low in lows]
        long_at = []
        if longs:
            if how & 1:
                long_at = self.packed(longs, position)
            else:
                long_at = [i for i, bit in enumerate(self.packed(n, 1)) if bit]
        assert len(long_at) == longs
        for i, high in zip(long_at, self.packed(longs, h), strict=True):
            values[i] += high << w
        far_at = self.packed(fars, position)
        assert not set(far_at) & set(long_at)
        for i, high in zip(far_at, self.packed(fars, f), strict=True):
            values[i] = far_base + lows[i] + (high << w)
        return [signed(x) for x in values]

    def list(self, n):
        return [x for at in range(0, n, 1024) for x in self.stream(min(n - at, 1024))]


def read_texts(head, count, flags, total):
    if count == 0:
        return []
    shared = head.list(count) if flags & 2 else [0] * count
    lengths = head.list(count)
    rest = head.take(len(head.data) - head.at)
    if flags & 4:
        rest = zlib.decompress(rest)
    rest, texts, before = Bytes(rest), [], b""
    for prefix, length in zip(shared, lengths, strict=True):
        before = before[:prefix] + rest.take(length)
        texts.append(before)
    assert rest.at == len(rest.data)
    assert texts == sorted(set(texts)) and sum(map(len, texts)) == total
    return texts


def read_block(data, n, kind, head):
    block = Bytes(data)
    how = block.u8()
    present = [how == 0 or how == 4] * n
    if how == 2:
        present = [bit == 1 for bit in block.packed(n, 1)]
    elif how in (3, 4):
        for i in block.packed(block.u16(), (n - 1).bit_length()):
            present[i] = how == 3
    else:
        assert how in (0, 1)
    v = sum(present)
    values = []
    if v and kind == REALS:
        places = block.u8()
        values = block.stream(v)
        if places == 255:
            values = [struct.unpack("<d", struct.pack("<q", x))[0] for x in values]
        else:
            assert places <= 6 and all(abs(x) < 1 << 51 for x in values)
            values = [x / 10**places for x in values]
    elif v and kind in (CODES, TEXTS):
        values = [None if x == 0 else head["dictionary"][x - 1] for x in block.stream(v)]
    elif v:
        values = [signed(head["origin"] + head["unit"] * x) for x in block.stream(v)]
    assert block.at == len(data)
    values = iter(values)
    return [next(values) if there else None for there in present]


def read_column(data):
    """All rows of a column, None where null, and its kind."""
    assert data[:4] == b"ctmS" and data[4] == 1
    kind, flags, shift = data[5:8]
    rows, nulls, distinct, head_length, length, texts = struct.unpack_from("<6I", data, 8)
    low, high = struct.unpack_from("<2d" if kind == REALS else "<2q", data, 32)
    origin, unit, expected = struct.unpack_from("<qQQ", data, 48)
    assert length == len(data)
    assert expected == checksum(data[72:head_length], checksum(data[:64]))
    head = {"origin": origin, "unit": unit, "dictionary": []}
    alike, block_rows = flags & 1, 1 << shift
    blocks = 0 if alike else -(-rows // block_rows)
    inside = Bytes(data[:head_length])
    inside.at = 72
    entries = []
    for _ in range(blocks):
        end, sum_ = struct.unpack("<IQ", inside.take(12))
        entries.append((end, sum_, inside.number(8) if kind == IDENTITY else None))
    if kind == CODES:
        head["dictionary"] = inside.list(distinct)
        assert head["dictionary"] == sorted(set(head["dictionary"]))
    elif kind == TEXTS:
        head["dictionary"] = read_texts(inside, distinct, flags, texts)
    assert inside.at == head_length
    if alike:
        value = None if nulls else head["dictionary"][0] if kind in (CODES, TEXTS) and rows else low
        values = [value] * rows
    else:
        values, start = [], head_length
        for i, (end, sum_, first) in enumerate(entries):
            block = data[start : head_length + end]
            start = head_length + end
            assert checksum(block) == sum_
            values += read_block(block, min(rows - i * block_rows, block_rows), kind, head)
            assert first is None or values[i * block_rows] == first
        assert start == length
    there = [x for x in values if x is not None]
    assert len(values) == rows and len(values) - len(there) == nulls
    if there and kind != TEXTS:
        assert (min(there), max(there)) == (low, high)
    if kind in (CODES, TEXTS):
        assert set(there) == set(head["dictionary"])
    return kind, values


# ---- the writer, in C ------------------------------------------------------------------------------------------------


class Writer(c.Structure):
    _fields_ = [("data", c.POINTER(c.c_uint8)), ("length", c.c_size_t), ("capacity", c.c_size_t)]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("slab") / "slab.so"
    includes = [f"-I{ROOT / part}" for part in ("include", "lib/base", "lib/slab")]
    subprocess.run(
        ["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", *includes, "-o", path, *SOURCES, "-lz", "-lm"],
        check=True,
    )
    return c.CDLL(str(path))


class Codec:
    def __init__(self, library):
        self.library = library
        self.env = c.create_string_buffer(1 << 14)
        library.ctm__env_init(self.env, None)

    def written(self, function, *arguments):
        writer = Writer()
        assert function(self.env, *arguments, c.byref(writer)) == 0
        data = c.string_at(writer.data, writer.length)
        self.library.ctm__writer_free(self.env, c.byref(writer))
        return data

    def ints(self, kind, values, block):
        n = len(values)
        numbers = (c.c_int64 * n)(*(x or 0 for x in values))
        present = (c.c_uint8 * n)(*(x is not None for x in values))
        return self.written(
            self.library.ctm__slab_encode_ints, numbers, present, c.c_size_t(n), kind, c.c_size_t(block)
        )

    def codes(self, values, block):
        codes = (c.c_int32 * len(values))(*(-1 if x is None else x for x in values))
        return self.written(self.library.ctm__slab_encode_codes, codes, c.c_size_t(len(values)), c.c_size_t(block))

    def reals(self, values, block):
        reals = (c.c_double * len(values))(*(NAN if x is None else x for x in values))
        return self.written(self.library.ctm__slab_encode_reals, reals, c.c_size_t(len(values)), c.c_size_t(block))

    def texts(self, values, block):
        dictionary, code = c.create_string_buffer(256), c.c_int32()
        codes = (c.c_int32 * len(values))()
        for i, text in enumerate(values):
            codes[i] = -1
            if text is not None:
                add = self.library.ctm__dictionary_add
                assert add(self.env, dictionary, text, c.c_size_t(len(text)), c.byref(code)) == 0
                codes[i] = code.value
        data = self.written(
            self.library.ctm__slab_encode_texts, codes, dictionary, c.c_size_t(len(values)), c.c_size_t(block)
        )
        self.library.ctm__dictionary_free(self.env, dictionary)
        return data


@pytest.fixture
def codec(library):
    return Codec(library)


SIZES = [(0, 16), (1, 16), (2, 16), (15, 16), (17, 16), (200, 64), (1024, 1024), (3000, 1024), (2500, 16)]


def sometimes(r, share, values):
    return [x if r.random() < share else None for x in values]


def integer_shapes(r, n):
    yield [r.randrange(-(1 << 63), 1 << 63) for _ in range(n)]
    yield [5] * n
    yield [None] * n
    yield [r.choice((-(1 << 63), (1 << 63) - 1)) for _ in range(n)]
    yield sometimes(r, 0.05, [r.randrange(2) for _ in range(n)])
    yield sometimes(r, 0.97, [r.randrange(1000) * 86400 for _ in range(n)])
    yield sometimes(r, 0.5, [r.randrange(1 << r.randrange(1, 50)) for _ in range(n)])
    yield [r.randrange(1 << 40) if r.random() < 0.02 else r.randrange(7) - 3 for _ in range(n)]
    yield [i // 30 * 11 for i in range(n)]
    yield [i * 1000 + r.randrange(3) for i in range(n)]


def times(r, n):
    t, out = 0, []
    for i in range(n):
        t += int(r.expovariate(1 / 2.4e8)) if r.random() < 0.7 else int(r.expovariate(1 / 5e11))
        if i == 0 or r.random() < 0.05:
            t = 1735689600_000000 + r.randrange(180 * 86400_000000)
        out.append(t)
    return out


@pytest.mark.parametrize(("n", "block"), SIZES)
def test_integers(codec, n, block):
    r = random.Random(n)
    for values in integer_shapes(r, n):
        assert read_column(codec.ints(INTS, values, block)) == (INTS, values)
        if None not in values:
            assert read_column(codec.ints(TIME, values, block)) == (TIME, values)
            identities = sorted(values)
            assert read_column(codec.ints(IDENTITY, identities, block)) == (IDENTITY, identities)
    for values in (times(r, n), [t // 1000000 * 1000000 for t in times(r, n)]):
        assert read_column(codec.ints(TIME, values, block)) == (TIME, values)


@pytest.mark.parametrize(("n", "block"), SIZES)
def test_codes(codec, n, block):
    r = random.Random(n)
    for values in (
        [r.randrange(40) for _ in range(n)],
        [3] * n,
        [None] * n,
        sometimes(r, 0.04, [r.randrange(3) for _ in range(n)]),
        sometimes(r, 0.8, [r.randrange(1 << 31) for _ in range(n)]),
        [i // 40 for i in range(n)],
        [i // 2 for i in range(n)],
    ):
        assert read_column(codec.codes(values, block)) == (CODES, values)


@pytest.mark.parametrize(("n", "block"), SIZES)
def test_reals(codec, n, block):
    r = random.Random(n)
    for values in (
        [r.randrange(1000000) / 100 for _ in range(n)],
        sometimes(r, 0.05, [float(r.randrange(11)) for _ in range(n)]),
        [r.random() for _ in range(n)],
        [r.choice((0.0, -0.0, math.inf, -math.inf, 1e300, 5e-324, 0.1)) for _ in range(n)],
        [-0.0] * n,
        [None] * n,
        sometimes(r, 0.9, [-r.randrange(10**9) / 1000000 for _ in range(n)]),
    ):
        kind, got = read_column(codec.reals(values, block))
        assert kind == REALS
        assert [x if x is None else struct.pack("<d", x) for x in got] == [
            x if x is None else struct.pack("<d", x) for x in values
        ]


@pytest.mark.parametrize(("n", "block"), SIZES)
def test_texts(codec, n, block):
    r = random.Random(n)
    for values in (
        [b"order-%08d" % r.randrange(5000) for _ in range(n)],
        [r.randbytes(r.randrange(20)) for _ in range(n)],
        sometimes(r, 0.3, [r.choice((b"", b"yes", b"no")) for _ in range(n)]),
        ["Bäckerei".encode() * 20] * n,
        [None] * n,
        [b" ".join(r.choice((b"the", b"parcel", b"came", b"late")) for _ in range(12)) for _ in range(n)],
    ):
        assert read_column(codec.texts(values, block)) == (TEXTS, values)


def test_every_way_of_writing_was_read(codec, monkeypatch):
    """The shapes above reach every mode, or the tests above say little."""
    seen = set()
    plain_stream, plain_texts, plain_block = Bytes.stream, read_texts, read_block

    def stream(self, n, modes=(0, 1, 2, 3, 4)):
        seen.add(("stream", self.data[self.at] & 15))
        return plain_stream(self, n, modes)

    def texts(head, count, flags, total):
        seen.add(("texts", flags & 6))
        return plain_texts(head, count, flags, total)

    def block(data, n, kind, head):
        seen.add(("present", data[0]))
        return plain_block(data, n, kind, head)

    monkeypatch.setattr(Bytes, "stream", stream)
    monkeypatch.setitem(globals(), "read_texts", texts)
    monkeypatch.setitem(globals(), "read_block", block)
    for test in (test_integers, test_codes, test_reals, test_texts):
        for n, size in ((200, 64), (3000, 1024)):
            test(codec, n, size)
    assert {("stream", mode) for mode in range(5)} <= seen
    assert {("present", how) for how in range(5)} <= seen
    assert {("texts", flags) for flags in (0, 4, 6)} <= seen
