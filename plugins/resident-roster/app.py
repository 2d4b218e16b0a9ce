"""The exports of the component: `identity` and `summary` in the types of `wit/world.wit`."""

import datetime
from contextlib import contextmanager

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import roster as wit

import identity
import summary


class Roster(exports.Roster):
    def read(self, number: str, on: wit.Date) -> wit.Identity:
        with faults():
            return to_wit(identity.read(number, day(on)))

    def summarise(self, rows: list[wit.Row], on: wit.Date) -> wit.Summary:
        with faults():
            counted = summary.summarise([(row.name, row.number) for row in rows], day(on))
        return wit.Summary(
            people=len(counted.people),
            groups=[wit.Group(sex(female), band[0], band[1], count) for female, band, count in counted.groups],
            median_age=counted.median_age,
            repeated=[wit.Repeated(number, rows, differ) for number, rows, differ in counted.repeated],
            bad=[wit.BadRow(row, fault_of(kind)) for row, kind in counted.bad],
        )


@contextmanager
def faults():
    """Turns faults into the error case of the function's result."""
    try:
        yield
    except identity.Fault as fault:
        raise Err(fault_of(fault.kind)) from None


def to_wit(found: identity.Identity) -> wit.Identity:
    birthday = wit.Date(found.birthday.year, found.birthday.month, found.birthday.day)
    return wit.Identity(found.number, found.region, birthday, sex(found.female), found.age)


def sex(female: bool) -> wit.Sex:
    return wit.Sex.FEMALE if female else wit.Sex.MALE


def fault_of(kind: str) -> wit.Fault:
    return wit.Fault[kind.upper()]


def day(on: wit.Date) -> datetime.date:
    try:
        return datetime.date(on.year, on.month, on.day)
    except (ValueError, OverflowError):
        raise identity.Fault("day") from None
