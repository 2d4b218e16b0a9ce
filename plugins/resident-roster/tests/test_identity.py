import unittest
from datetime import date

from identity import Fault, check_character, read
from summary import summarise

ON = date(2026, 6, 1)


class Numbers(unittest.TestCase):
    def test_the_example_of_the_standard_and_how_people_type_it(self):
        for text in ("11010519491231002X", "１１０１０５１９４９１２３１００２ｘ", " 110105 19491231 002x "):
            found = read(text, ON)
            self.assertEqual((found.number, found.female, found.age), ("11010519491231002X", True, 76))

    def test_the_old_form_becomes_the_new_one(self):
        self.assertEqual(read("110105491231002", ON).number, "11010519491231002X")

    def test_every_slip_is_named(self):
        for text, kind in (
            ("", "length"),
            ("11010519491231002", "length"),
            ("1101051949123100XX", "characters"),
            ("11010519491231002A", "characters"),
            ("991105194912310021", "region"),
            ("110105194913310023", "birth_date"),
            ("110105202702290020", "birth_date"),
            ("110105194912310021", "check_character"),
        ):
            with self.subTest(text), self.assertRaises(Fault) as raised:
                read(text, ON)
            self.assertEqual(raised.exception.kind, kind)

    def test_one_wrong_digit_is_always_found(self):
        digits = "11010519491231002"
        for place in range(17):
            for other in "0123456789".replace(digits[place], ""):
                changed = digits[:place] + other + digits[place + 1 :]
                self.assertNotEqual(check_character(changed), "X")


class Rosters(unittest.TestCase):
    def test_people_are_counted_once_and_oddities_listed(self):
        rows = [("王芳", "11010519491231002X"), ("王 芳", "110105491231002"), ("李雷", "440308202001010011"), ("?", "1")]
        counted = summarise(rows, ON)
        self.assertEqual(counted.groups, [(True, (60, 79), 1), (False, (0, 6), 1)])
        self.assertEqual(counted.median_age, 41.0)
        self.assertEqual(counted.repeated, [("11010519491231002X", [0, 1], True)])
        self.assertEqual(counted.bad, [(3, "length")])

    def test_an_empty_roster(self):
        counted = summarise([], ON)
        self.assertEqual((counted.people, counted.groups, counted.median_age), ({}, [], None))


if __name__ == "__main__":
    unittest.main()
