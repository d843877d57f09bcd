"""Samples and CPU of threads come to the areas that they should."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.profile_areas import GARBAGE, INTERPRETER, KAFKA, NATIVE, Samples, Thread, by_name, costliest, sampled, shares
from bench.spy import Spy, SpyError
from tests.waiting import until

START = "0x7f (libc.so.6);thread_run (libpython3.11.so.1.0);Thread.run (threading.py:982);_run (concurrent/futures/thread.py:58)"
STAGE = f"{START};process (pipeline/chain.py:104);encode (connectors/avro.py:127)"


@pytest.mark.parametrize(
    ("stack", "area", "function"),
    [
        (STAGE, "connectors/avro.py", "encode (connectors/avro.py)"),
        (f"{STAGE};list_sort (libpython3.11.so.1.0);malloc (libc.so.6)", "connectors/avro.py", "encode (connectors/avro.py)"),
        (f"{STAGE};pack (struct.py:20);deflate (libz.so.1)", "connectors/avro.py", "encode (connectors/avro.py)"),
        (f"{STAGE};f (pyruhvro/pyruhvro.cpython-311.so);free (libc.so.6)", "pyruhvro", "encode (connectors/avro.py)"),
        (f"{STAGE};arrow::F<a, b (x)>::g (pyarrow/libarrow.so.2600)", "pyarrow, libarrow", "encode (connectors/avro.py)"),
        (f"{STAGE};gc_collect_main (libpython3.11.so.1.0);visit (object.h:9)", GARBAGE, "encode (connectors/avro.py)"),
        (f"{STAGE};c (lib-dynload/_json.cpython-311.so)", "JSON", "encode (connectors/avro.py)"),
        (f"{STAGE};rd_kafka_produce (confluent_kafka.libs/librdkafka-0cb9.so.1)", KAFKA, "encode (connectors/avro.py)"),
        (
            f"{START};Service.wait (mode/services.py:7);call_soon (_asynciomodule.c:36)",
            "asyncio, uvloop",
            "Service.wait (mode/services.py)",
        ),
        (f"{START};run (uvicorn/server.py:3);Handle__run (loop.c:70803)", "asyncio, uvloop", "run (uvicorn/server.py)"),
        (f"{START};seek (lmdb/cffi.py:3)", "lmdb", "seek (lmdb/cffi.py)"),
        (START, INTERPRETER, "_run (concurrent/futures/thread.py)"),
    ],
)
def test_a_stack_belongs_to_the_innermost_that_has_a_name(stack: str, area: str, function: str) -> None:
    assert sampled(f"{stack} 3\n") == Samples({area: 3}, {(function, area): 3})  # type: ignore[arg-type]  # a Counter equals a dict


@pytest.mark.parametrize(
    "leaf",
    [
        "PyThread_acquire_lock_timed (libpython3.11.so.1.0);0x7f2 (libc.so.6)",
        "select_epoll_poll_impl (selectmodule.c:15)",
        "poll (libc.so.6)",
    ],
)
def test_a_thread_that_waits_is_not_counted(leaf: str) -> None:
    assert sampled(f"{STAGE};{leaf} 900\n{STAGE} 1\n").areas == {"connectors/avro.py": 1}


def test_native_threads_count_whole_and_the_rest_as_it_was_sampled() -> None:
    threads = [Thread("python", 2.0, "MainThread"), Thread("rdk:broker1", 1.0, None), Thread("python", 1.0, None)]
    found = shares({"JSON": 30, KAFKA: 10}, threads, whole=6.0)  # two seconds by threads that have ended: sampled, too
    assert found == pytest.approx({"JSON": 3 / 6, KAFKA: 2 / 6, NATIVE: 1 / 6})
    assert list(found) == ["JSON", KAFKA, NATIVE]


def test_shares_without_any_sample_or_cpu() -> None:
    assert shares({}, [Thread("rdk:main", 1.0, None)], whole=1.0) == {KAFKA: 1.0}
    assert shares({}, [], whole=0.0) == {}


def test_threads_that_differ_by_number_are_one() -> None:
    threads = [Thread("python", 0.5, f"ThreadPoolExecutor-0_{n}") for n in (1, 12)]
    threads += [Thread(f"rdk:broker{n}", 0.25, None) for n in ("-1", "2")] + [Thread("python", 0.001, None)]
    assert by_name(threads, 2.0) == pytest.approx({"ThreadPoolExecutor*": 1.0, "rdk:broker*": 0.5, "threads that ended": 0.499})


def test_the_costliest_functions_have_their_share_of_the_process() -> None:
    found = sampled(f"{STAGE} 3\n{START};seek (lmdb/cffi.py:3) 1\n")
    assert costliest(found, 0.5, 1) == [("encode (connectors/avro.py)", "connectors/avro.py", 0.375)]


def test_without_the_profiler_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SpyError, match="uv tool install py-spy"):
        Spy.found({"PATH": str(tmp_path)})
    assert Spy.found({"PATH": str(tmp_path), "PY_SPY": "/opt/py-spy"}).program == "/opt/py-spy"


def test_a_profiler_that_fails_is_quoted(tmp_path: Path) -> None:
    program = tmp_path / "py-spy"
    program.write_text("#!/bin/sh\necho 'Permission denied' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(SpyError, match="Permission denied.*run this as root"):
        Spy(str(program)).names(1)
    out = tmp_path / "out.raw"
    with pytest.raises(SpyError, match="Permission denied.*run this as root"):
        Spy(str(program)).record(1, 0, 100, out, lambda _: until(lambda: "denied" in out.with_suffix(".log").read_text(), 10))
