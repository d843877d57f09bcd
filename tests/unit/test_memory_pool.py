"""Which allocator Arrow's columns get: its own keeps a share of free memory for each thread, and a processor has dozens."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASKED = "import pipeline.__main__, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
NAME = "ARROW_DEFAULT_MEMORY_POOL"


@pytest.mark.parametrize(("given", "used"), [({}, "system"), ({NAME: "jemalloc"}, "jemalloc")])
def test_columns_use_the_allocator_of_the_system_unless_told_otherwise(given: dict[str, str], used: str) -> None:
    env = {name: value for name, value in os.environ.items() if name != NAME} | given
    said = subprocess.run([sys.executable, "-c", ASKED], env=env, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == used
