import os
import threading

import pytest

from trajgen.errors import ConfigError, RunConflict
from trajgen.store import documents, layout
from trajgen.store.layout import RunDir, durable_write
from trajgen.store.lock import driver_lock
from trajgen.store.plan import Unit


def test_the_first_writer_wins_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "x"
    assert durable_write(path, b"one")
    assert not durable_write(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_of_many_writers_exactly_one_wins(tmp_path):
    path = tmp_path / "x"
    won = []
    start = threading.Barrier(8)

    def write(i):
        start.wait()
        if durable_write(path, bytes([i]) * 100_000):
            won.append(i)

    writers = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_bytes() == bytes(won) * 100_000
    assert len(won) == 1


def test_a_disk_that_fails_leaves_no_file_at_all(tmp_path, monkeypatch):
    def full(handle, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(layout.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        durable_write(tmp_path / "x", b"data")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_hard_links_is_said_so(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(layout.os, "link", refuse)
    with pytest.raises(ConfigError, match=r"no hard links.*--set out=FOLDER"):
        durable_write(tmp_path / "x", b"data")


def test_temps_of_the_dead_are_removed_and_those_of_the_living_stay(tmp_path, monkeypatch):
    dead = tmp_path / f"x.{'0' * 32}.tmp"
    dead.write_bytes(b"half")
    other = tmp_path / "notes.tmp"
    other.write_bytes(b"not ours")
    removed = []
    monkeypatch.setattr(
        layout, "after", lambda step: removed.append(layout.remove_stale_temps(tmp_path)) if step == "fsync" else None
    )
    assert durable_write(tmp_path / "y", b"whole")  # it is alive while the others are cleared away
    assert removed == [1]
    assert {p.name for p in tmp_path.iterdir()} == {"notes.tmp", "y"}


def test_only_names_a_run_can_have_are_read(tmp_path):
    run = RunDir(tmp_path)
    run.create()
    own = {
        run.plan: "00000.json",
        run.commits: "00000.json",
        run.shards: "00000.parquet",
        run.journal: "00000.lease-1",
        run.slots: "lease-1",
    }
    stray = [".nfs0001", ".DS_Store", "00000.json~", "00000.json.swp", "Thumbs.db", "00001 (copy).json"]
    for folder, name in own.items():
        for word in [name, f"{name}.{'0' * 32}.tmp", *stray]:
            (folder / word).write_bytes(b"")
        (folder / "00009.json").mkdir()
        assert layout.names(folder) == [name]
    assert layout.names(tmp_path / "none" / "plan") == []


def test_a_second_driver_is_refused_and_told_the_first_one_s_pid(tmp_path):
    run = RunDir(tmp_path)
    with driver_lock(run), pytest.raises(RunConflict, match=f"process {os.getpid()} is already"), driver_lock(run):
        pass
    with driver_lock(run):
        pass


def test_the_lock_of_a_killed_driver_is_free(tmp_path):
    run = RunDir(tmp_path)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with driver_lock(run):
            os.write(write, b"x")
            os.kill(os.getpid(), 9)
    os.read(read, 1)
    os.waitpid(child, 0)
    with driver_lock(run):
        pass


def test_a_document_is_json_and_any_change_of_a_byte_is_found():
    unit = Unit("00001", 0, 2, ((3, 0),))
    data = documents.seal(unit)
    assert documents.unseal(data, Unit) == unit
    for at in range(len(data) - 1):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            assert documents.unseal(bytes(flipped), Unit) is None
        assert documents.unseal(data[:at], Unit) is None
