"""The library, as cffi makes it from include/ctm.h: what it holds is known only when it runs."""

from typing import Any

ffi: Any
lib: Any
