"""Resident identity numbers as GB 11643 defines them."""

import unicodedata
from dataclasses import dataclass
from datetime import date

# The first two digits: provinces, autonomous regions, municipalities, special administrative regions, residence permits.
PROVINCES = frozenset(
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83".split()
)
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHECK_CHARACTERS = "10X98765432"
DIGITS = frozenset("0123456789")
# Numbers of 15 digits leave the century out; none was given to anybody born later.
OLD_CENTURY = "19"


class Fault(Exception):
    """Why a text is no number: `length`, `characters`, `region`, `birth_date` or `check_character`."""

    def __init__(self, kind: str):
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True)
class Identity:
    number: str
    birthday: date
    female: bool
    age: int

    @property
    def region(self) -> str:
        return self.number[:6]


def check_character(digits: str) -> str:
    """The 18th character for the 17 digits before it."""
    return CHECK_CHARACTERS[sum(weight * int(digit) for weight, digit in zip(WEIGHTS, digits)) % 11]


def read(text: str, on: date) -> Identity:
    """What the number says on a day. Raises `Fault`."""
    number = "".join(unicodedata.normalize("NFKC", text).split()).upper()
    if len(number) not in (15, 18):
        raise Fault("length")
    if not DIGITS.issuperset(number[:17]) or number[17:] not in {"", "X"} | DIGITS:
        raise Fault("characters")
    if number[:2] not in PROVINCES:
        raise Fault("region")
    if len(number) == 15:
        digits = number[:6] + OLD_CENTURY + number[6:]
        number = digits + check_character(digits)
    birthday = day_of(number[6:14])
    if birthday > on:
        raise Fault("birth_date")
    if number[17] != check_character(number[:17]):
        raise Fault("check_character")
    return Identity(number, birthday, female=int(number[16]) % 2 == 0, age=full_years(birthday, on))


def day_of(digits: str) -> date:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        raise Fault("birth_date") from None


def full_years(birthday: date, on: date) -> int:
    return on.year - birthday.year - ((on.month, on.day) < (birthday.month, birthday.day))
