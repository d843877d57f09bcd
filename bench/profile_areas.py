"""From samples of stacks and CPU of threads to areas that a reader knows: pure functions, on what `bench.spy` gathers.

A line of `py-spy record --format raw` is ``outermost;…;innermost COUNT``; a frame is ``function (file:line)`` in Python and
``function (library)`` in native code.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

OWN = frozenset({"pipeline", "connectors", "schemas", "auditwire"})
GARBAGE, INTERPRETER, KAFKA = "garbage collection", "interpreter", "confluent_kafka, librdkafka"
NATIVE = "unnamed threads of native libraries"
_AREAS = {
    "aiokafka": ("aiokafka",),
    "Faust": ("faust", "mode"),
    KAFKA: ("confluent_kafka", "cimpl", "librdkafka"),
    "pyarrow, libarrow": ("pyarrow",),
    "asyncio, uvloop": ("asyncio", "uvloop", "selectors", "select"),
    "JSON": ("json", "orjson"),
    "FastAPI, uvicorn": ("fastapi", "starlette", "uvicorn", "httptools", "anyio", "pydantic", "pydantic_core"),
    "httpx": ("httpx", "httpcore", "h11"),
    "psycopg": ("psycopg", "psycopg_binary", "psycopg_pool"),
    "boto3": ("boto3", "botocore", "s3transfer", "urllib3"),
}
# Modules written in C or Cython that come with line numbers show their source instead of the library.
_SOURCES = {
    "aiokafka": ("default_records.c", "legacy_records.c", "memory_records.c", "hton.c", "cutil.c"),
    "Faust": ("conductor.c", "streams.c", "windows.c"),
    "asyncio, uvloop": ("_asynciomodule.c", "loop.c", "loop-watcher.c", "core.c", "linux.c", "stream.c", "queue.h"),
    "FastAPI, uvicorn": ("parser.c", "url_parser.c", "llhttp.c", "api.c"),
    "fastavro": ("_read.c", "_write.c", "_schema.c"),
}
AREA_OF = {name: area for table in (_AREAS, _SOURCES) for area, names in table.items() for name in names}
# A stopped thread is woken by being sampled: it then looks busy in the call that it waits in.
WAITS = re.compile(
    r"(lock_)?PyThread_acquire_lock\w*|take_gil|pthread_cond_\w+|\w*epoll_p?wait\w*|p?poll|p?select|sem_\w*wait|futex\w*|\w*nanosleep"
    r"|time_sleep|pysleep|cnd_timedwait\w*|select_\w*poll(_impl)?|recv|recvfrom|sock_recv_impl|accept4?"
)
Frame = tuple[str, str]


@dataclass
class Samples:
    """How many samples there are, by area, and by function of ours (or outermost elsewhere) and area it spends the time in."""

    areas: Counter[str] = field(default_factory=Counter)
    functions: Counter[tuple[str, str]] = field(default_factory=Counter)


def stacks(text: str) -> Iterator[tuple[list[Frame], int]]:
    """Frames, outermost first, as (function, file or library), and how often they were seen."""
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = (frame.rpartition(" (") for frame in stack.split(";"))
        yield [(name, file.removesuffix(")").partition(":")[0]) for name, _, file in frames], int(count)


def sampled(text: str) -> Samples:
    """All samples of a process but those of threads that wait."""
    found = Samples()
    for frames, count in stacks(text):
        if not waits(frames):
            area = area_of(frames)
            found.areas[area] += count
            found.functions[function_of(frames), area] += count
    return found


def waits(frames: Sequence[Frame]) -> bool:
    """Whether the innermost function that has a name is one that waits."""
    named = (name for name, _ in reversed(frames) if not name.startswith("0x"))
    return WAITS.fullmatch(next(named, "")) is not None


def area_of(frames: Sequence[Frame]) -> str:
    """Who spends the time: the innermost frame that is not the C library's, Python's own or of its standard library."""
    return next(filter(None, (_area(*frame) for frame in reversed(frames))), INTERPRETER)


def _area(name: str, file: str) -> str | None:
    if name.startswith("gc_collect"):
        return GARBAGE
    if file.endswith((".c", ".h")):
        return AREA_OF.get(file.removesuffix(".h") if file.endswith(".c.h") else file)
    first, _, rest = file.partition("/")
    top = re.split(r"[.-]", rest if first == "lib-dynload" else first)[0].removeprefix("_")
    if top in AREA_OF:
        return AREA_OF[top]
    if top in OWN:
        return file
    standard = top in sys.stdlib_module_names or f"_{top}" in sys.stdlib_module_names
    return None if standard or re.match(r"lib|ld$|python|[<\[(]|$", top) else top


def function_of(frames: Sequence[Frame]) -> str:
    """The innermost function of ours; without one the innermost function in Python that is not of the standard library."""
    python = [(name, file) for name, file in reversed(frames) if file.endswith(".py")]
    ours = [frame for frame in python if frame[1].partition("/")[0] in OWN]
    others = [frame for frame in python if _area(*frame)]
    return next((f"{name} ({file})" for name, file in [*ours, *others, *python]), INTERPRETER)


@dataclass(frozen=True)
class Thread:
    """CPU seconds of a thread; ``python``: its name in Python, None where Python does not know it."""

    comm: str
    cpu: float
    python: str | None

    @property
    def name(self) -> str:
        """One name for all threads that differ in their number only."""
        return re.sub(r"([-_ ]?\d+)+", "*", self.python or (self.comm if self.area != NATIVE else NATIVE))

    @property
    def area(self) -> str | None:
        """Where its CPU belongs as a whole; None for a thread of Python's, of which there are samples."""
        if self.python:
            return None
        return KAFKA if self.comm.startswith("rdk:") else "pyarrow, libarrow" if self.comm.startswith("jemalloc") else NATIVE


def by_name(threads: Iterable[Thread], whole: float) -> dict[str, float]:
    """CPU seconds by name of thread, most first; what is missing to the whole process was spent by threads that have ended."""
    found = defaultdict[str, float](float)
    for thread in threads:
        found[thread.name] += thread.cpu
    found["threads that ended"] = whole - sum(found.values())
    return {name: cpu for name, cpu in _most_first(found).items() if cpu >= 0.005}


def shares(samples: Mapping[str, int], threads: Iterable[Thread], whole: float) -> dict[str, float]:
    """Share of each area in the process's CPU, most first: native threads as a whole, the rest as the samples are spread."""
    found = defaultdict[str, float](float)
    for thread in threads:
        if thread.area:
            found[thread.area] += thread.cpu
    rest, number = max(0.0, whole - sum(found.values())), sum(samples.values())
    for area, count in samples.items():
        found[area] += rest * count / number
    total = sum(found.values()) or 1.0
    return {area: cpu / total for area, cpu in _most_first(found).items()}


def _most_first(found: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def costliest(samples: Samples, python: float, number: int = 10) -> list[tuple[str, str, float]]:
    """The most expensive functions with area and share, of a process whose samples stand for the share ``python`` of its CPU."""
    whole = max(1, samples.areas.total())
    return [(function, area, python * count / whole) for (function, area), count in samples.functions.most_common(number)]
