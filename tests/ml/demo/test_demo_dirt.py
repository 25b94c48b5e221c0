"""The manifest tells the truth: every planted fault is found, and nothing else, by an independent reader."""

from collections import Counter

import pytest
from demo_reader import DOMAINS, catalogue, classified_events, good_events, item_faults, item_rows

from ml.demo import write_demo_world


@pytest.mark.parametrize("domain", DOMAINS)
def test_event_faults_are_as_counted(tiny, domain):
    folder, manifest = tiny
    found = Counter(fault for fault, _ in classified_events(folder, domain))
    assert dict(found) == {fault: n for fault, n in manifest.domains[domain].events.items() if n}
    missing = {fault for fault, n in manifest.domains[domain].events.items() if not n}
    assert missing == ({"unparsable"} if domain == "music" else set())


@pytest.mark.parametrize("domain", DOMAINS)
def test_catalogue_faults_are_as_counted(tiny, domain):
    folder, manifest = tiny
    planted = manifest.domains[domain].catalogue
    assert dict(item_faults(folder, domain)) == {fault: n for fault, n in planted.items() if n}
    assert {fault for fault, n in planted.items() if not n} == (
        {"unparsable"} if domain == "music" else set()
    )
    assert len(catalogue(folder, domain)) == manifest.domains[domain].items


@pytest.mark.parametrize("domain", DOMAINS)
def test_good_lines_are_counted_by_type(tiny, domain):
    folder, manifest = tiny
    found = Counter(event for *_, event in good_events(folder, domain))
    assert dict(found) == manifest.domains[domain].event_types
    assert found.total() == manifest.domains[domain].good_events


@pytest.mark.parametrize("domain", DOMAINS)
def test_faults_stay_a_few_per_cent(small_manifest, domain):
    counts = small_manifest.domains[domain].events
    bad = sum(n for fault, n in counts.items() if fault not in ("clean", "padded_id"))
    assert 0.02 < bad / sum(counts.values()) < 0.05


@pytest.mark.parametrize("domain", DOMAINS)
def test_cancels_take_back_an_earlier_purchase(tiny, domain):
    events = good_events(tiny[0], domain)
    bought = {(user, item): time for user, item, time, event in reversed(events) if event == "purchase"}
    cancels = [(user, item, time) for user, item, time, event in events if event == "cancel"]
    matched = [time > bought[user, item] for user, item, time in cancels if (user, item) in bought]
    assert all(matched)
    # The purchase itself may be one of the spoiled lines.
    assert len(matched) > 0.8 * len(cancels)


def test_only_ratings_have_stars(tiny):
    for domain in DOMAINS:
        for fault, row in classified_events(tiny[0], domain):
            if fault == "clean":
                stars = None if row[4] in ("", None) else float(row[4])
                assert stars in ({1, 2, 3, 4, 5} if row[3] == "rating" else {None})


def test_a_catalogue_repeats_lines_exactly_and_with_changes(tiny):
    first, exact, changed = {}, 0, 0
    for row in item_rows(tiny[0], "films"):
        item = row[0].strip() if row else ""
        if item and item in first:
            exact += first[item] == row
            changed += first[item] != row
        first.setdefault(item, row)
    assert (exact, changed) == (1, 1)


@pytest.fixture(scope="module")
def small_manifest(small):
    return write_demo_world(small, "small", seed=7)
