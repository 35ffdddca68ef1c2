"""SIGTERM as an interruption like Ctrl-C, for commands that must end what they started."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def sigterm_noted() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, for work that must not be cut at any place, such as handing over jobs.

    Outside of the main thread, where Python allows no signal handler, it is never set.
    """
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.signal(signal.SIGTERM, lambda *_: noted.set())
    # A shell's background command ignores SIGINT, and so would its children, which submitit ends by that signal.
    before_int = signal.getsignal(signal.SIGINT)
    if before_int is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGTERM, before)
        if before_int is signal.SIG_IGN:
            signal.signal(signal.SIGINT, before_int)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first SIGTERM inside and ignore further ones, which would disturb the ending.

    Outside of the main thread, where Python allows no signal handler, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
