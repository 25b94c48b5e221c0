"""The folder as a whole: same parameters, same bytes; whole or not at all; never over other files."""

import hashlib
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest
from demo_reader import DOMAINS, csv_rows, event_rows, good_events, gzip, seconds, user_rows

from ml.demo import DemoManifest, world, write_demo_world


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_parameters_give_the_same_bytes(tiny, tmp_path):
    write_demo_world(tmp_path / "again", "tiny", seed=7)
    assert digests(tmp_path / "again") == digests(tiny[0])


def test_another_seed_gives_another_log(tiny, tmp_path):
    write_demo_world(tmp_path / "other", "tiny", seed=8)
    ours, theirs = digests(tmp_path / "other"), digests(tiny[0])
    assert ours.keys() == theirs.keys()
    assert not set(ours.values()) & set(theirs.values())


def test_the_manifest_on_disk_is_the_one_returned(tiny):
    folder, manifest = tiny
    assert DemoManifest.read(folder) == manifest
    assert (manifest.size, manifest.seed, manifest.users) == ("tiny", 7, 300)


def test_a_world_that_is_there_is_kept(tmp_path):
    folder = tmp_path / "demo"
    write_demo_world(folder, 20, seed=1)
    (folder / "garden" / "events.csv").write_text("edited by the user")
    write_demo_world(folder, 20, seed=1)
    assert (folder / "garden" / "events.csv").read_text() == "edited by the user"


@pytest.mark.parametrize(("size", "seed"), [(20, 2), (30, 1)])
def test_a_world_of_other_parameters_is_replaced(tmp_path, size, seed):
    write_demo_world(tmp_path / "demo", 20, seed=1)
    write_demo_world(tmp_path / "demo", size, seed)
    write_demo_world(tmp_path / "fresh", size, seed)
    assert digests(tmp_path / "demo") == digests(tmp_path / "fresh")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "fresh"]


def test_a_world_of_an_older_generator_is_replaced(tmp_path):
    folder = tmp_path / "demo"
    write_demo_world(folder, 20, seed=1)
    fresh = digests(folder)
    (folder / "demo_manifest.json").write_text(
        '{"size": 20, "seed": 1, "users": 20, "version": 0, "lines": 9}'
    )
    write_demo_world(folder, 20, seed=1)
    assert digests(folder) == fresh


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    with pytest.raises(FileExistsError, match=r"choose another demo\.path"):
        write_demo_world(tmp_path / "photos", 20, seed=1)
    assert digests(tmp_path).keys() == {"photos/cat.jpg"}


def test_a_build_that_is_interrupted_leaves_the_old_world_whole(tmp_path, monkeypatch):
    folder = tmp_path / "demo"
    write_demo_world(folder, 20, seed=1)
    before = digests(tmp_path)

    def interrupted(folder, days):
        next(days)
        raise KeyboardInterrupt

    monkeypatch.setitem(world.EVENT_WRITERS, "garden", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_demo_world(folder, 20, seed=2)
    assert digests(tmp_path) == before


@pytest.mark.parametrize("size", ["huge", 9, -1, 0, True, 20.5, None])
def test_an_unknown_size_says_what_is_possible(tmp_path, size):
    with pytest.raises(ValueError, match="tiny, small or a number of users"):
        write_demo_world(tmp_path / "demo", size, seed=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("users", [10, 700])
def test_any_number_of_users(tmp_path, users):
    manifest = write_demo_world(tmp_path / "demo", users, seed=3)
    for domain in DOMAINS:
        ids = [row[0] for row in user_rows(tmp_path / "demo", domain)]
        assert len(ids) == len(set(ids)) == manifest.domains[domain].users
    everybody = {row[0] for domain in DOMAINS for row in user_rows(tmp_path / "demo", domain)}
    assert len(everybody) == users


def test_many_chunks_of_users_make_one_sorted_log(tmp_path, monkeypatch):
    monkeypatch.setattr(world, "USERS_PER_CHUNK", 40)
    manifest = write_demo_world(tmp_path / "demo", "tiny", seed=7)
    for domain in DOMAINS:
        ids = [row[0] for row in user_rows(tmp_path / "demo", domain)]
        assert len(ids) == len(set(ids)) == manifest.domains[domain].users
        times = [time for _, _, time, _ in good_events(tmp_path / "demo", domain)]
        assert np.all(np.diff(times) > -1)  # books: milliseconds are not in order within a second
        assert {user for user, *_ in good_events(tmp_path / "demo", domain)} <= set(ids)
        assert len(list(event_rows(tmp_path / "demo", domain))) == manifest.domains[domain].event_lines


def test_each_day_of_films_holds_its_own_events(tiny):
    files = sorted((tiny[0] / "films/events").iterdir())
    assert [files[0].name, files[-1].name, len(files)] == ["2026-01-01.csv.gz", "2026-03-31.csv.gz", 90]
    for path in files:
        rows = [row for row in csv_rows(gzip.decompress(path.read_bytes()).decode(), 5) if row]
        days = Counter(
            datetime.fromtimestamp(time, UTC).date().isoformat()
            for row in rows
            if (time := seconds("films", row[2])) is not None
        )
        day = path.name.removesuffix(".csv.gz")
        # What lies outside the file's day was planted so: far in the future or before the calendar.
        assert all(found == day or found > "2100" or found < "2026" for found in days)


def test_users_are_partly_shared_and_their_attributes_agree(tiny):
    rows = {domain: {row[0]: row[1:] for row in user_rows(tiny[0], domain)} for domain in DOMAINS}
    for domain in DOMAINS:
        for other in DOMAINS:
            shared = rows[domain].keys() & rows[other].keys()
            assert all(rows[domain][user] == rows[other][user] for user in shared)
            if domain != other:
                assert 0.25 < len(shared) / len(rows[domain]) < 0.9


def test_the_world_looks_like_behaviour(tiny):
    for domain in DOMAINS:
        events = good_events(tiny[0], domain)
        hours = Counter(datetime.fromtimestamp(time, UTC).hour for _, _, time, _ in events)
        assert sum(hours[h] for h in range(18, 23)) > 2 * sum(hours[h] for h in range(1, 6))
        types = Counter(event for *_, event in events)
        assert types["view"] > types["cart"] > types["purchase"] > types["rating"] > types["cancel"] > 0
