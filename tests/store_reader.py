"""A reader of whole stores, written from docs/format.md alone: it shares no code with the library."""

import sqlite3
import struct
import zlib

from test_slab_format import CODES, IDENTITY, INTS, REALS, TEXTS, TIME, Bytes, read_column

KINDS = {0: IDENTITY, 1: TIME, 2: CODES, 3: CODES, 4: REALS, 5: CODES, 6: REALS, 7: CODES, 8: TEXTS, 9: INTS, 10: INTS,
         11: TEXTS, 12: INTS}  # fmt: skip
COLUMNS = ("identity", "time", "touchpoint", "channel", "value", "survey", "score", "about", "case", "key", "load",
           "text", "flags")  # fmt: skip
ATTRIBUTES = 16


def fingerprint(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 % 2**64
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        h ^= h >> 33
        h = h * factor % 2**64
    return h ^ (h >> 33)


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def attributes(data):
    """(code, type, value) for each."""
    at, found = 0, []
    while at < len(data):
        code, at = varint(data, at)
        kind, at = data[at], at + 1
        if kind == 1:
            value, at = data[at] == 1, at + 1
        elif kind in (2, 5, 6):
            value, at = varint(data, at)
            value = value >> 1 if value % 2 == 0 else -(value >> 1) - 1
        elif kind == 3:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        else:
            length, at = varint(data, at)
            value, at = data[at : at + length].decode(), at + length
        found.append((code, kind, value))
    return found


def mix(x):
    x = (x ^ x >> 32) * 0x0E9846AF9B1A615D % 2**64
    x = (x ^ x >> 32) * 0x0E9846AF9B1A615D % 2**64
    return x ^ x >> 28


def piece_mark(piece):
    """What binds the columns of customer_values to their row."""
    columns = 0
    for i, name in enumerate(("identities", "orders", "bytes", "loads")):
        if (data := piece[name]) is not None:
            head = data[: int.from_bytes(data[20:24], "little")]
            columns = mix((columns + fingerprint(head) + i) % 2**64)
    place = mix(piece["id"] % 2**64)
    for name in ("attribute", "load", "sequence"):
        place = mix((place + piece[name]) % 2**64)
    return columns ^ place


def identity_block(block):
    """(value, number) for each entry."""
    data, sum_ = block["bytes"][:-8], int.from_bytes(block["bytes"][-8:], "little")
    expected = fingerprint(data)
    for text in (block["kind"], block["first"], block["last"]):
        expected = mix((expected + fingerprint(text.encode())) % 2**64)
    assert sum_ == expected
    assert data[0] == 1 and data[1] in (0, 1)
    entries, at = varint(data, 2)
    least, at = varint(data, at)
    width, at = data[at], at + 1
    packed = Bytes(data[at : at + (entries * width + 7) // 8])
    numbers = [least + more for more in packed.packed(entries, width)]
    length, at = varint(data, at + len(packed.data))
    values = zlib.decompress(data[at:]) if data[1] else data[at:]
    assert len(values) == length
    at, value, found = 0, b"", []
    for number in numbers:
        shared, rest = values[at] >> 4, values[at] & 15
        at += 1
        if shared == 15:
            more, at = varint(values, at)
            shared += more
        if rest == 15:
            more, at = varint(values, at)
            rest += more
        assert shared <= len(value)
        value = value[:shared] + values[at : at + rest]
        at += rest
        found.append((value.decode(), number))
    assert at == length
    assert (len(found), found[0][0], found[-1][0]) == (block["entries"], block["first"], block["last"])
    assert (min(numbers), max(numbers)) == (block["low_number"], block["high_number"])
    return found


class Reading:
    """Everything that is published in a store's file: `interactions` in the order of the histories, `customers`."""

    def __init__(self, path):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            db.row_factory = sqlite3.Row
            self.db = db
            self.names = {
                table: dict(db.execute(f"select code, name from {table}").fetchall())
                for table in ("touchpoints", "channels", "surveys", "segments", "stages")
            }
            self.touchpoint_channel = dict(db.execute("select code, channel from touchpoints").fetchall())
            self.touchpoint_stage = dict(db.execute("select code, stage from touchpoints").fetchall())
            self.attributes, self.customer_attributes = (
                {code: (name, kind) for code, name, kind in db.execute(
                    "select code, name, type from attributes where of_customer = ?", (of_customer,))}
                for of_customer in (0, 1)
            )  # fmt: skip
            self.identities = self.read_identities()
            self.links = dict(db.execute("select identity, customer from identity_links").fetchall())
            rows = [*self.read_journal(), *self.read_runs()]
            rows.sort(key=lambda row: (self.root(row["identity"]), row["time"], row["identity"], row["order"]))
            self.interactions = [self.named(row) for row in rows]
            self.customers = self.read_customers()
        db.close()

    def root(self, identity):
        return self.links.get(identity, identity)

    # ---- interactions ----

    def read_journal(self):
        rows = self.db.execute("select i.*, t.text as said from interactions i left join texts t using (seq)")
        for row in rows:
            found = dict(row)
            found["order"] = (found.pop("seq"),)
            found["identity"] = found["identity"] or 0
            found["case"], found["text"] = found.pop("case_id"), found.pop("said")
            found["attributes"] = {code: value for code, _, value in attributes(found["attributes"] or b"")}
            yield found

    def read_runs(self):
        windows = []
        for run in self.db.execute("select * from runs where state = 1").fetchall():
            windows.append((run["window_low"], run["window_high"], run["rank"]))
            rows = [row for slab in self.slabs_of(run) for row in self.read_slab(run, slab)]
            for place, row in enumerate(rows):
                row["order"] = (run["rank"], place)
            keys = [(row["identity"], row["time"]) for row in rows]
            assert keys == sorted(keys)
            times = [row["time"] for row in rows]
            assert (len(rows), min(times), max(times)) == (run["rows"], run["min_time"], run["max_time"])
            assert run["window_low"] <= min(times) and max(times) < run["window_high"]
            assert run["nobody"] == sum(row["identity"] == 0 for row in rows)
            assert run["keyed"] or all(row["key"] is None for row in rows)
            assert run["date_only"] or not any(row["flags"] & 1 for row in rows)
            yield from rows
        windows.sort()
        for (low, high, rank), (next_low, next_high, next_rank) in zip(windows, windows[1:], strict=False):
            assert high <= next_low or ((low, high) == (next_low, next_high) and rank < next_rank)

    def slabs_of(self, run):
        return self.db.execute(
            "select * from slabs where run = ? order by first_identity, last_identity, min_time, max_time, id",
            (run["id"],),
        ).fetchall()

    def read_codes(self, data):
        maps, at = {name: {} for name in ("touchpoints", "channels", "surveys", "attributes")}, 0
        if data is None:
            return maps
        for found in maps.values():
            count, at = varint(data, at)
            for code in range(count - 1):
                found[code], at = varint(data, at)
        assert at == len(data)
        return maps

    def read_slab(self, run, slab):
        maps = self.read_codes(run["codes"])
        columns, at, before = {}, 0, -1
        while at < len(slab["columns"]):
            number, at = varint(slab["columns"], at)
            length, at = varint(slab["columns"], at)
            (mark,) = struct.unpack_from("<Q", slab["columns"], at)
            at += 8
            assert number > before
            before = number
            (data,) = self.db.execute(
                "select bytes from slab_columns where id = ?", (slab["id"] * 4096 + number,)
            ).fetchone()
            (head_length,) = struct.unpack_from("<I", data, 20)
            assert len(data) == length and fingerprint(data[:head_length]) == mark
            kind, values = read_column(data)
            assert len(values) == slab["rows"] and any(value is not None for value in values)
            if number >= ATTRIBUTES:
                number = ATTRIBUTES + maps["attributes"].get(number - ATTRIBUTES, number - ATTRIBUTES)
                type_ = self.attributes[number - ATTRIBUTES][1]
                allowed = {"text": {TEXTS}, "real": {REALS, INTS}}.get(type_, {INTS})
            else:
                allowed = {KINDS[number]}
            assert kind in allowed
            if kind == CODES:
                kind_of_names = {3: "channels", 5: "surveys"}.get(number, "touchpoints")
                values = [maps[kind_of_names].get(value, value) for value in values]
            if kind == TEXTS:
                values = [None if value is None else value.decode() for value in values]
            columns[number] = values
        listed = self.db.execute("select count(*) from slab_columns where id / 4096 = ?", (slab["id"],)).fetchone()[0]
        assert listed == len(columns)
        identities, times = columns[0], columns[1]
        assert (identities[0], identities[-1]) == (slab["first_identity"], slab["last_identity"])
        assert (min(times), max(times)) == (slab["min_time"], slab["max_time"])
        assert run["load"] == 0 or 10 not in columns
        none = [None] * slab["rows"]
        for i in range(slab["rows"]):
            row = {name: columns.get(number, none)[i] for number, name in enumerate(COLUMNS)}
            row["flags"] = row["flags"] or 0
            row["load"] = row["load"] or run["load"]
            row["attributes"] = {
                number - ATTRIBUTES: values[i]
                for number, values in columns.items()
                if number >= ATTRIBUTES and values[i] is not None
            }
            yield row

    def named(self, row):
        """As the SQL table ctm_interactions has it."""
        touchpoint, channel = row["touchpoint"], row["channel"]
        if channel is None:
            channel = self.touchpoint_channel[touchpoint]
        found = {
            "customer": self.identities[self.root(row["identity"])][1] if row["identity"] else None,
            "time": row["time"],
            "touchpoint": self.names["touchpoints"][touchpoint],
            "channel": self.names["channels"].get(channel),
            "stage": self.names["stages"].get(self.touchpoint_stage[touchpoint]),
            "value": row["value"],
            "survey": self.names["surveys"].get(row["survey"]),
            "score": row["score"],
            "about": self.names["touchpoints"].get(row["about"]),
            "text": row["text"],
            "case": row["case"],
            "key": row["key"],
            "load": row["load"],
            "date_only": row["flags"] & 1,
        }
        for code, (name, kind) in self.attributes.items():
            value = row["attributes"].get(code)
            found[name] = value if value is None or kind == "text" else float(value) if kind == "real" else int(value)
        return found

    # ---- identities and customers ----

    def read_identities(self):
        """(kind, value) by number."""
        found = {number: (kind, value) for number, kind, value in self.db.execute("select * from identities")}
        blocks = self.db.execute("select * from identity_blocks where run = 0 order by generation, kind, first")
        generation, before = None, None
        for block in blocks.fetchall():
            if block["generation"] != generation:
                generation, before = block["generation"], None
            for value, number in identity_block(block):
                entry = (block["kind"].encode(), value.encode(), number)
                assert before is None or before < entry
                before = entry
                assert number not in found
                found[number] = (block["kind"], value)
        return found

    def read_values(self):
        """(attribute, identity, sequence, value) for all that is known; attribute -1: the segment."""
        for row in self.db.execute("select attribute, identity, sequence, value from customer_attributes"):
            yield tuple(row)
        for row in self.db.execute("select -1, identity, sequence, segment from customer_segment"):
            yield tuple(row)
        for piece in self.db.execute("select * from customer_values where run = 0").fetchall():
            kind, identities = read_column(piece["identities"])
            assert kind == IDENTITY and len(identities) == piece["rows"] == len(set(identities))
            kind, orders = read_column(piece["orders"])
            assert kind == INTS
            assert piece["mark"] % 2**64 == piece_mark(piece)
            if piece["loads"] is not None:
                kind, loads = read_column(piece["loads"])
                assert kind == INTS and len(loads) == piece["rows"]
                known = {load for (load,) in self.db.execute("select number from loads where undone is null")}
                assert set(loads) <= known | {0}
            kind, values = read_column(piece["bytes"])
            if piece["attribute"] == -1:
                assert kind == CODES
            else:
                type_ = self.customer_attributes[piece["attribute"]][1]
                assert kind in {"text": {TEXTS}, "real": {REALS, INTS}}.get(type_, {INTS})
            for identity, order, value in zip(identities, orders, values, strict=True):
                value = value.decode() if isinstance(value, bytes) else value
                yield piece["attribute"], identity, piece["sequence"] + order, value

    def read_customers(self):
        """As the SQL table ctm_customers has it."""
        known, groups = {}, {}
        for attribute, identity, sequence, value in self.read_values():
            assert identity in self.identities
            place = (self.root(identity), attribute)
            assert place not in known or known[place][0] != sequence
            if place not in known or known[place][0] < sequence:
                known[place] = (sequence, value)
        for number in self.identities:
            groups.setdefault(self.root(number), []).append(number)
        customers = []
        for root, members in sorted(groups.items()):
            kind, value = self.identities[root]
            assert root == min(members)
            row = {"customer": value, "kind": kind, "identities": len({self.identities[member] for member in members})}
            row["segment"] = self.names["segments"].get(known.get((root, -1), (0, None))[1])
            for code, (name, type_) in self.customer_attributes.items():
                value = known.get((root, code), (0, None))[1]
                row[name] = float(value) if value is not None and type_ == "real" else value
            customers.append(row)
        return customers
