"""The thread that does one thing again and again: what a tick raises is told, and the next one comes."""

from __future__ import annotations

import logging
import threading

import pytest

from pipeline.export.ticker import Ticker
from tests.waiting import until


def test_a_tick_that_fails_is_told_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    fails: list[Exception] = [ValueError("of the program itself"), TimeoutError("no answer")]
    went_well = threading.Event()

    def tick() -> None:
        if fails:
            raise fails.pop()
        went_well.set()

    log = logging.getLogger("ticking")
    ticker = Ticker("ticking", tick, 0.01, log=log, said="files stay", waits_for=(TimeoutError,))
    ticker.start()
    assert went_well.wait(10)
    ticker.stop()
    told = [(r.levelname, r.getMessage(), r.exc_info is not None) for r in caplog.records if r.name == log.name]
    assert told == [("WARNING", "files stay: no answer", False), ("ERROR", "files stay: internal error", True)]
    until(lambda: all(thread.name != "ticking" for thread in threading.enumerate()), 10)


def test_what_was_never_started_can_be_stopped() -> None:
    Ticker("ticking", lambda: None, 60, log=logging.getLogger("ticking"), said="", waits_for=()).stop()
