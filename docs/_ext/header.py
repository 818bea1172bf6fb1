"""The C reference: include/ctm.h as a page. The header reads as a course, so its order and its words are kept; this
only turns comments into paragraphs and declarations into entries that can be linked to and searched.

A page asks for it by the line `.. header: include/ctm.h`.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
REQUEST = re.compile(r"^\.\. header: (\S+)$", re.MULTILINE)
SECTION = re.compile(r"^ *-{3,} (\d+) (.+?) -{3,} *$|^-- (.+?) --$")


def pieces(text: str):
    """(kind, text): "comment" or "code", in order; blank lines separate pieces of code."""
    at = 0
    for found in re.finditer(r"/\*.*?\*/", text, re.DOTALL):
        if found.start() > 0 and text[found.start() - 1] != "\n":
            continue  # behind or within a declaration: a part of it
        yield from (("code", part) for part in re.split(r"\n\s*\n", text[at : found.start()]) if part.strip())
        yield "comment", found[0]
        at = found.end()
    yield from (("code", part) for part in re.split(r"\n\s*\n", text[at:]) if part.strip())


def course(text: str) -> str:
    """What is to be shown: from the first section on, without what only compilers need."""
    text = text[text.index("/* ---- 1 ") : text.rindex("#ifdef __cplusplus")]
    start = text.index("#ifndef ARROW_C_DATA_INTERFACE")
    end = text.index("/* ---- 2 ")
    return text[:start] + "struct ArrowSchema;\nstruct ArrowArray;\nstruct ArrowArrayStream;\n\n" + text[end:]


def escape(line: str) -> str:
    """Plain words as reStructuredText; what stands between backticks is code."""
    parts = line.split("`")
    return "".join(f"``{part}``" if i % 2 else re.sub(r"([\\*_|])", r"\\\1", part) for i, part in enumerate(parts))


def words(comment: str) -> tuple[tuple[int, str] | None, str]:
    """A comment as (depth and title of the section it opens, if any) and reStructuredText."""
    lines = [re.sub(r"^ ?\*? ?", "", line, count=1) for line in comment[2:-2].split("\n")]
    lines[0] = comment[2:-2].split("\n")[0].strip()
    title = None
    if found := SECTION.match(lines[0]):
        title = (1, found[2]) if found[2] else (2, found[3])
        lines = lines[1:]
    out: list[str] = []
    literal = False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not literal:
            out += ["", "::", ""]
        elif literal and not indented and line.strip():
            out.append("")
        literal = indented or (literal and not line.strip())
        out.append(line if literal else escape(line.rstrip()))
    return title, "\n".join(out).strip("\n")


def indent(text: str) -> str:
    return "\n".join("   " + line if line else "" for line in text.split("\n"))


def block(code: str) -> str:
    return ".. code-block:: c\n\n" + indent(code.strip("\n"))


def entry(code: str) -> str:
    """Declarations as entries of Sphinx's C domain."""
    plain = re.sub(r"/\*.*?\*/", "", code, flags=re.DOTALL)
    remarks = dict(re.findall(r"\b(ctm_\w+)\([^;]*;[ ]*/\*\s*(.*?)\s*\*/", code, re.DOTALL))
    if "CTM_API" in plain:
        out = []
        for declaration in re.findall(r"CTM_API\s+(.*?);", plain, re.DOTALL):
            declaration = " ".join(declaration.split())
            name = re.search(r"\b(ctm_\w+)\(", declaration)[1]
            out.append(f".. c:function:: {declaration}")
            if name in remarks:
                out.append("\n" + indent(escape(" ".join(remarks[name].split()))) + "\n")
        return "\n".join(out)
    if found := re.match(r"\s*typedef struct (\w+) \{", plain):
        return f".. c:struct:: {found[1]}\n\n{indent(block(code))}"
    if found := re.match(r"\s*typedef enum (\w+) \{", plain):
        return f".. c:enum:: {found[1]}\n\n{indent(block(code))}"
    if re.match(r"\s*typedef (?!struct)", plain) and plain.count(";") == 1:
        return f".. c:type:: {' '.join(plain.split())[8:].rstrip(';')}"
    opaque = re.findall(r"typedef struct (\w+) \1;", plain)
    if opaque:
        return "\n".join(f".. c:struct:: {name}" for name in opaque)
    return block(code)


def page(header: str) -> str:
    """The header as reStructuredText."""
    out: list[str] = []
    waiting: str | None = None  # a comment that belongs to the code after it
    for kind, text in pieces(course(header)):
        if kind == "comment":
            if waiting:
                out.append(waiting)
            title, waiting = words(text)
            if title:
                depth, name = title
                out.append(f"{name}\n{'-~'[depth - 1] * (len(name) + 2)}")
                if waiting:
                    out.append(waiting)
                waiting = None
            continue
        shown = entry(text)
        if waiting and shown.startswith(".. c:"):
            # words first, below the last of the entries they speak of
            shown = f"{shown}\n\n{indent(waiting)}"
        elif waiting:
            out.append(waiting)
        out.append(shown)
        waiting = None
    if waiting:
        out.append(waiting)
    return "\n\n".join(out) + "\n"


def read(app, docname, source):
    def filled(found):
        app.env.note_dependency(str(ROOT / found[1]))
        return page((ROOT / found[1]).read_text())

    source[0] = REQUEST.sub(filled, source[0])


def setup(app):
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
