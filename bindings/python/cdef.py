"""Make the C source of `ctm._native` from include/ctm.h: the header is the only place where the interface is written.

    python cdef.py include/ctm.h bindings/python/native.cdef OUTPUT.c

What the header declares becomes declarations for cffi. The initialisers (CTM_…_INIT), being macros, become functions:
CTM_SELECTION_INIT is `lib._init_ctm_selection(pointer)`. native.h holds the little C that Python needs beside the
library and native.cdef declares it.
"""

import re
import sys
from pathlib import Path

PRELUDE = """\
#include <ctm.h>
#include "native.h"
"""


def _without_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)


def _macros(text):
    """Name, parameters (None without any) and body of every #define."""
    joined = re.sub(r"\\\n", " ", text)
    pattern = r"^[ \t]*#[ \t]*define[ \t]+(\w+)(\([^)]*\))?[ \t]*(.*)$"
    return [(m[1], m[2], m[3].strip()) for m in re.finditer(pattern, joined, flags=re.MULTILINE)]


def _without_preprocessor(text):
    joined = re.sub(r"\\\n", " ", text)
    return re.sub(r"^[ \t]*#.*$", "", joined, flags=re.MULTILINE)


def _without_linkage(text):
    """Drop the `extern "C" {` … `}` that the preprocessor would have dropped."""
    return re.sub(r"#ifdef __cplusplus\n.*?#endif\n", "", text, flags=re.DOTALL)


def _constants(macros):
    for name, parameters, body in macros:
        if parameters is not None or not body or not name.startswith(("CTM_", "ARROW_FLAG_")) or name == "CTM_API":
            continue
        if name.endswith("_INIT"):
            continue
        if "nan" in body.lower():
            yield f"static const double {name};"
        else:
            yield f"#define {name} ..."


def initialisers(header):
    """Names of the structs that have an initialiser: ctm_selection for CTM_SELECTION_INIT."""
    return [name[: -len("_INIT")].lower() for name, _, _ in _macros(_without_comments(header)) if name.endswith("_INIT")]


def declarations(header):
    """The header without comments, preprocessor and linkage: what a C parser without a preprocessor reads."""
    text = _without_linkage(_without_comments(header))
    text = _without_preprocessor(text).replace("CTM_API ", "")
    return re.sub(r"\n\s*\n+", "\n", text).strip() + "\n"


def functions(header):
    """Names of the functions that the header declares for export."""
    text = _without_preprocessor(_without_linkage(_without_comments(header)))
    return [re.search(r"(\w+)\s*\(", piece)[1] for piece in text.split("CTM_API ")[1:]]


def cdef(header, native):
    parts = [declarations(header)]
    parts += _constants(_macros(_without_comments(header)))
    parts += [f"void _init_{name}({name} *);" for name in initialisers(header)]
    parts.append(_without_comments(native))
    return "\n".join(parts)


def source(header):
    lines = [PRELUDE]
    for name in initialisers(header):
        lines.append(f"static void _init_{name}({name} *fresh) {{\n  *fresh = ({name}){name.upper()}_INIT;\n}}\n")
    return "\n".join(lines)


def main(header_path, native_path, output):
    import cffi

    header = Path(header_path).read_text(encoding="utf-8")
    native = Path(native_path).read_text(encoding="utf-8")
    ffi = cffi.FFI()
    ffi.cdef(cdef(header, native))
    ffi.set_source("ctm._native", source(header))
    ffi.emit_c_code(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
