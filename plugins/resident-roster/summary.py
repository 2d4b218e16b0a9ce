"""Counts of a roster."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date
from statistics import median

from identity import Fault, Identity, read

# Full years: infants and nursery, school, working age, elderly, very old.
BANDS = ((0, 6), (7, 17), (18, 59), (60, 79), (80, None))


@dataclass(frozen=True)
class Summary:
    people: dict[str, Identity]
    # Number of people by sex (female or not) and band.
    groups: list[tuple[bool, tuple[int, int | None], int]]
    median_age: float | None
    # Number, places of its rows, whether their names differ.
    repeated: list[tuple[str, list[int], bool]]
    bad: list[tuple[int, str]]


def summarise(rows: list[tuple[str, str]], on: date) -> Summary:
    """Counts rows of name and number."""
    people: dict[str, Identity] = {}
    places: dict[str, list[int]] = defaultdict(list)
    bad: list[tuple[int, str]] = []
    for place, (_, number) in enumerate(rows):
        try:
            identity = read(number, on)
        except Fault as fault:
            bad.append((place, fault.kind))
            continue
        people[identity.number] = identity
        places[identity.number].append(place)
    counts = Counter((identity.female, band_of(identity.age)) for identity in people.values())
    groups = [(female, band, counts[female, band]) for female in (True, False) for band in BANDS if counts[female, band]]
    repeated = [
        (number, at, len({rows[place][0].strip() for place in at}) > 1) for number, at in places.items() if len(at) > 1
    ]
    ages = [identity.age for identity in people.values()]
    return Summary(people, groups, float(median(ages)) if ages else None, repeated, bad)


def band_of(age: int) -> tuple[int, int | None]:
    return next(band for band in BANDS if band[1] is None or age <= band[1])
