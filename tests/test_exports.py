"""What the libraries offer is what include/ctm.h declares: nothing is missing, nothing of the inside leaks.

CTM_BUILD names the build directory; script/test sets it.
"""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def extractor():
    spec = importlib.util.spec_from_file_location("cdef", ROOT / "bindings" / "python" / "cdef.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def symbols(path, *options):
    """Names and kinds of symbols, without versions."""
    listing = subprocess.run(["nm", "-P", *options, str(path)], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listing.splitlines()]
    return {row[0].split("@")[0]: row[1] for row in rows if len(row) >= 2}


@pytest.fixture(scope="module")
def build():
    if "CTM_BUILD" not in os.environ:
        pytest.skip("CTM_BUILD does not name a build directory")
    return Path(os.environ["CTM_BUILD"])


@pytest.fixture(scope="module")
def declared():
    names = set(extractor().functions((ROOT / "include" / "ctm.h").read_text()))
    assert {"ctm_open", "ctm_free", "ctm_status_at"} <= names
    return names


def test_shared_library_exports_what_is_declared(build, declared):
    exported = {name for name, kind in symbols(build / "libctm.so", "-D", "--defined-only").items() if kind != "A"}
    assert {"missing": sorted(declared - exported), "leaked": sorted(exported - declared)} == {
        "missing": [], "leaked": []}


def test_shared_library_needs_nothing_of_its_own(build):
    open_names = [name for name in symbols(build / "libctm.so", "-D", "--undefined-only") if name.startswith("ctm_")]
    assert open_names == []


def test_static_library_has_only_our_names(build):
    names = symbols(build / "libctm.a", "-g", "--defined-only")
    foreign = [name for name, kind in names.items() if kind != "U" and not name.startswith(("ctm_", "__asan", "__odr"))]
    assert foreign == []


def test_soname(build):
    listing = subprocess.run(["readelf", "-d", str(build / "libctm.so")], capture_output=True, text=True, check=True)
    assert "[libctm.so.0]" in listing.stdout


def test_python_module_offers_only_its_entry():
    import ctm._native

    exported = symbols(ctm._native.__file__, "-D", "--defined-only")
    assert sorted(exported) == ["PyInit__native"]
