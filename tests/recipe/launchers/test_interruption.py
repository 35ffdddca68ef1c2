"""SIGTERM: noted, or an interruption; and afterwards as before."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from ptseg_d2.recipe.launchers.interruption import sigterm_interrupts, sigterm_noted

import pytest


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of before, whatever a test does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def mine(*_: object) -> None:
    pytest.fail("the handler of before was called")


def test_sigterm_is_noted_and_nothing_is_cut() -> None:
    signal.signal(signal.SIGTERM, mine)
    with sigterm_noted() as noted:
        assert not noted.is_set()
        terminate()
        terminate()
        assert noted.is_set()
    assert signal.getsignal(signal.SIGTERM) is mine


def test_sigterm_is_held_back_until_the_end() -> None:
    """A second one while the first one's interruption is dealt with does not disturb that."""
    before = signal.getsignal(signal.SIGTERM)
    ended = False
    with pytest.raises(KeyboardInterrupt), sigterm_interrupts():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            ended = True
    assert ended
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_a_signal_nothing_happens() -> None:
    signal.signal(signal.SIGTERM, mine)
    with sigterm_interrupts(), sigterm_noted() as noted:
        pass
    assert not noted.is_set() and signal.getsignal(signal.SIGTERM) is mine


@pytest.mark.parametrize(
    ("before", "inside"),
    [
        (signal.SIG_IGN, signal.default_int_handler),
        (signal.default_int_handler, signal.default_int_handler),
        (mine, mine),
    ],
)
def test_ctrl_c_is_heard_inside_though_a_shell_had_it_ignored(before: Any, inside: Any) -> None:
    signal.signal(signal.SIGINT, before)
    with pytest.raises(OSError, match="disk full"), sigterm_noted():
        assert signal.getsignal(signal.SIGINT) is inside
        raise OSError("disk full")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("manager", [sigterm_noted, sigterm_interrupts])
def test_another_thread_changes_no_handler(manager: Callable[[], AbstractContextManager[Any]]) -> None:
    """Python would not let it."""
    signal.signal(signal.SIGTERM, mine)
    inside: list[Any] = []

    def work() -> None:
        with manager() as noted:
            inside.append((signal.getsignal(signal.SIGTERM), noted is not None and noted.is_set()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [(mine, False)]
