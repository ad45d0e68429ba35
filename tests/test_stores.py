"""Where scripts keep their session: a file that only its user can read and that survives crashes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from twotoken.contrib.scripts import FileStore, MemoryStore, Store, StoreError
from twotoken.contrib.scripts.session import Session

SESSION = Session(auth_url="https://api.example.com/auth/", access="a1", refresh="r1", key="a-key-of-some-length")


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    """A store that holds a session."""
    store = FileStore(tmp_path / "session")
    store.save(SESSION)
    return store


def test_a_file_for_its_user_alone(tmp_path: Path) -> None:
    """Only the user can read the file and the lock from the start, with any umask."""
    old = os.umask(0)
    try:
        store = FileStore(str(tmp_path / "session"))
        assert store.load() == Session()
        assert store.try_lock()
        store.save(SESSION)
        store.unlock()
    finally:
        os.umask(old)
    assert FileStore(store.path).load() == SESSION
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "session": 0o600,
        "session.lock": 0o600,
    }


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666])
def test_a_file_that_others_can_use(store: FileStore, mode: int) -> None:
    """A file that others can read or write is refused before its token is sent."""
    assert store.load() == SESSION
    store.path.chmod(mode)
    for each in (store, FileStore(store.path)):
        with pytest.raises(StoreError, match=f"Others can use {store.path}"):
            each.load()


def test_a_lock_that_others_can_use(store: FileStore) -> None:
    """A lock file that others can use is refused, because others could hold the lock for ever."""
    lock = store.path.with_name("session.lock")
    lock.touch(0o600)
    lock.chmod(0o666)
    with pytest.raises(StoreError, match="Others can use"):
        store.try_lock()
    lock.unlink()
    assert store.try_lock()


def test_a_file_of_somebody_else(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another user is refused, because it could hold a session of that user."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StoreError, match="not a file of this process's user"):
        store.load()


def test_a_link_and_a_folder(store: FileStore) -> None:
    """The store does not follow a link and does not read a folder."""
    link = store.path.with_name("link")
    link.symlink_to(store.path)
    with pytest.raises(StoreError, match="link can not be used"):
        FileStore(link).load()
    with pytest.raises(StoreError, match="not a file"):
        FileStore(store.path.parent).load()


def test_a_pipe(tmp_path: Path) -> None:
    """A pipe in place of the file is refused at once, because opening it could wait for a writer."""
    store = FileStore(tmp_path / "session")
    for name in ("session", "session.lock"):
        os.mkfifo(tmp_path / name, 0o600)
    for use in (store.load, store.try_lock):
        with pytest.raises(StoreError, match="not a file"):
            use()


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    """If the folder of the file is missing, the error names the folder."""
    store = FileStore(tmp_path / "missing" / "session")
    assert store.load() == Session()
    with pytest.raises(StoreError, match="missing"):
        store.save(SESSION)
    with pytest.raises(StoreError, match="missing"):
        store.try_lock()
    (tmp_path / "missing").mkdir()
    assert store.try_lock()


def test_what_a_killed_process_leaves(store: FileStore) -> None:
    """Half a new file, left by a killed process, does no harm and is replaced."""
    new = store.path.with_name("session.new")
    new.write_text("{")
    assert store.load() == SESSION
    store.save(Session(access="a2"))
    assert store.load().access == "a2"
    assert not new.exists()


def test_what_another_process_has_written(store: FileStore) -> None:
    """If another process changes the file, the next ``load`` reads it. An unchanged file is not read again."""
    first = store.load()
    assert store.load() is first
    FileStore(store.path).save(Session(access="a2"))
    assert store.load().access == "a2"
    assert store.try_lock()
    locked = store.load()
    assert store.load() is not locked  # under the lock each ``load`` reads the file


@pytest.mark.parametrize("kind", [MemoryStore, FileStore])
def test_one_at_a_time(tmp_path: Path, kind: type[MemoryStore | FileStore]) -> None:
    """While a thread holds the lock, another thread or another store for the same file does not get it."""
    store: Store = FileStore(tmp_path / "session") if kind is FileStore else MemoryStore()
    others = [store, FileStore(tmp_path / "session")] if kind is FileStore else [store]
    for _ in range(2):
        assert store.try_lock()
        assert [other.try_lock() for other in others] == [False] * len(others)
        store.unlock()
    assert others[-1].try_lock()


@pytest.mark.slow
def test_a_lock_ends_with_its_process(store: FileStore) -> None:
    """The operating system releases the lock of a process that ends, even after ``kill -9``."""
    code = (
        "import sys; from twotoken.contrib.scripts import FileStore\n"
        f"print(FileStore({str(store.path)!r}).try_lock(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        assert not store.try_lock()
        other.kill()
    assert store.try_lock()


FORK = """
import os, sys, warnings
from dataclasses import replace
from twotoken.contrib.scripts import FileStore, MemoryStore
from twotoken.contrib.scripts.session import Session

memory, file = MemoryStore(), FileStore(sys.argv[1])
for store in (memory, file):
    assert store.try_lock()
    store.save(Session(access="a1", refresh="r1", started_with="x"))
if os.fork() == 0:
    assert memory.load() == Session(ended="forked", started_with="x")
    assert memory.try_lock()
    assert file.load().refresh == "r1"
    assert not file.try_lock()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
assert memory.load().refresh == "r1"
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
file.unlock()
assert FileStore(sys.argv[1]).try_lock()
print("good")
"""


@pytest.mark.slow
def test_a_fork(tmp_path: Path) -> None:
    """A forked child has no session in memory, shares the session in a file, and holds no lock of its parent."""
    command = [sys.executable, "-c", FORK, str(tmp_path / "session")]
    done = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    assert done.stdout == b"good\n"


@pytest.mark.parametrize("is_locked", [True, False])
@pytest.mark.parametrize("refresh", ["r1", ""])
def test_a_process_that_is_another(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, refresh: str, is_locked: bool
) -> None:
    """If the process number has changed, a store knows that it was forked, and starts with a free lock."""
    memory = MemoryStore()
    memory.save(Session(access="a1", refresh=refresh, ended="" if refresh else "logout"))
    if is_locked:
        assert memory.try_lock()
        assert store.try_lock()
    number = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: number)
    assert memory.load().ended == ("forked" if refresh else "logout")
    assert memory.try_lock()
    assert store.load() == SESSION
    assert store.try_lock()  # the lock ended with its last descriptor: no parent process has one here
