"""The stores in which a client keeps its session: in memory, or in a file that several processes can share."""

from __future__ import annotations

import logging
import os
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from twotoken.contrib.scripts.errors import StoreError
from twotoken.contrib.scripts.session import Session, from_json, to_json

NOT_LOCKED = -1  # no file has this descriptor

logger = logging.getLogger("twotoken.scripts")

if sys.platform == "win32":
    import msvcrt

    def lock_file(descriptor: int) -> None:
        """Lock a file for this process. Raises OSError if another process has the lock."""
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def unlock_file(descriptor: int) -> None:
        """Unlock a file."""
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def lock_file(descriptor: int) -> None:
        """Lock a file for this process. Raises OSError if another process has the lock."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock_file(descriptor: int) -> None:
        """Unlock a file. Closing the file is not enough: a forked child process may still have it open."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class Store(Protocol):
    """A place for one session. ``load`` is called before each request, so it must be quick."""

    def load(self) -> Session:
        """Return the session. If there is none, return an empty session."""
        ...

    def save(self, session: Session) -> None:
        """Replace the session, completely or not at all."""
        ...

    def try_lock(self) -> bool:
        """Take the lock that a login or refresh needs, without waiting. Return whether the lock was free."""
        ...

    def unlock(self) -> None:
        """Release the lock."""
        ...


class MemoryStore:
    """Keeps the session in this process. A forked child must not use its parent's tokens, so it has to log in."""

    def __init__(self) -> None:
        self._session = Session()
        self._lock = threading.Lock()
        self._process = os.getpid()

    def load(self) -> Session:
        self._leave_parent()
        return self._session

    def save(self, session: Session) -> None:
        self._session = session

    def try_lock(self) -> bool:
        self._leave_parent()
        return self._lock.acquire(blocking=False)

    def unlock(self) -> None:
        self._lock.release()

    def _leave_parent(self) -> None:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._lock = threading.Lock()
            ended = "forked" if self._session.refresh else self._session.ended
            self._session = replace(self._session, access="", refresh="", key="", ended=ended)


class FileStore:
    """Keeps the session in a file that only its owner can read. Processes can share the file, and it survives restarts.

    A save replaces the file at ``path`` with a new file. A process that logs in or refreshes locks the file
    ``path.lock``; if the process dies, the operating system releases the lock. Both files must be on a local disk,
    because the locks of network file systems are not reliable.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._threads = threading.Lock()
        self._lock_file = NOT_LOCKED
        self._process = os.getpid()
        self._read: tuple[tuple[int, int] | None, Session] = (None, Session())

    def load(self) -> Session:
        """Return the session. Read the file only if its inode or time has changed. A damaged file is an empty session.

        While this process has the lock, it always reads the file, because a refresh with an old token would end the
        session. After two quick changes a new file may have the inode and the time of an old file.
        """
        with self._errors():
            try:
                state = self.path.lstat()
            except FileNotFoundError:
                return Session()
            version = (state.st_ino, state.st_ctime_ns)
            if self._lock_file != NOT_LOCKED or self._read[0] != version:
                self._read = (version, self._parse())
        return self._read[1]

    def save(self, session: Session) -> None:
        """Write a new file and replace the old file with it, so that a crash never leaves half a file."""
        new = self.path.with_name(f"{self.path.name}.new")
        with self._errors():
            with suppress(FileNotFoundError):
                new.unlink()  # a process that was killed has left it
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(to_json(session))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
            self._sync_folder()

    def try_lock(self) -> bool:
        """Take the lock of this process's threads, then the lock of all processes. Tell whether both were free."""
        self._leave_parent()
        if not self._threads.acquire(blocking=False):
            return False
        try:
            with self._errors():
                descriptor = self._open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT)
                try:
                    lock_file(descriptor)
                except (BlockingIOError, PermissionError):  # Windows raises PermissionError
                    os.close(descriptor)
                else:
                    self._lock_file = descriptor
        finally:
            if self._lock_file == NOT_LOCKED:
                self._threads.release()
        return self._lock_file != NOT_LOCKED

    def unlock(self) -> None:
        """Release the lock that processes share, then the lock that threads share."""
        unlock_file(self._lock_file)
        os.close(self._lock_file)
        self._lock_file = NOT_LOCKED
        self._threads.release()

    def _parse(self) -> Session:
        with open(self._open(self.path, os.O_RDONLY), encoding="utf-8") as file:
            try:
                return from_json(file.read())
            except (ValueError, RecursionError):
                logger.warning("%s is damaged and is treated as empty.", self.path)
                return Session()

    def _open(self, path: Path, flags: int) -> int:
        # If somebody put a pipe in place of the file, it must not keep the program waiting. Windows has neither flag.
        guards = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags | guards, 0o600)
        try:
            self._check(path, os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _check(self, path: Path, state: os.stat_result) -> None:
        if sys.platform == "win32":  # Windows has no such modes, but closes a user's folders to others
            return
        if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
            raise StoreError(f"{path} is not a file of this process's user.")
        if state.st_mode & 0o077:
            raise StoreError(f"Others can use {path}, and may have copied it. Delete it, and end its session.")

    def _sync_folder(self) -> None:
        if sys.platform == "win32":  # Windows can't open a folder
            return
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise StoreError(f"{self.path} can not be used: {exc}") from exc

    def _leave_parent(self) -> None:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._threads = threading.Lock()
            if self._lock_file != NOT_LOCKED:  # the parent's lock: if it stayed open here, it would outlive the parent
                os.close(self._lock_file)
                self._lock_file = NOT_LOCKED
