//! Comparisons of a small shop with what it might become.

use super::{Changes, Step, compare};

const SHOP: &str = r#"
package root:component;

world root {
  import wasi:clocks/wall-clock@0.2.0;
  import test:shop/money@1.0.0;
  import ask: func() -> string;
  export test:shop/orders@1.0.0;
  export ping: func(times: u32) -> string;
}
package wasi:clocks@0.2.0 {
  interface wall-clock {
    record datetime { seconds: u64 }
    now: func() -> datetime;
  }
}
package test:shop@1.0.0 {
  interface money {
    record price { cents: u64 }
    resource purse { empty: func() -> list<price>; }
    rate: func() -> f64;
  }
  interface orders {
    use money.{price, purse};
    enum state { open, paid }
    record line { name: string, price: price }
    record order { id: u64, lines: list<line>, state: state }
    variant failure { unknown, other(string) }
    resource basket {
      constructor(owner: string);
      add: func(line: line);
      of: static func(owner: string) -> option<basket>;
    }
    place: func(order: order) -> result<u64, failure>;
    pay: func(id: u64, purse: borrow<purse>) -> result<_, failure>;
    count: func() -> u32;
  }
}
"#;

/// What is done to the shop: one text in place of another, everywhere.
type Edit = (&'static str, &'static str);

fn shop(edits: &[Edit]) -> String {
    edits.iter().fold(SHOP.to_owned(), |text, (was, is)| {
        assert!(text.contains(was), "{was:?} is not in the shop");
        text.replace(was, is)
    })
}

fn compared(earlier: &str, later: &str) -> Changes {
    compare(earlier, later).unwrap_or_else(|error| panic!("{error}\n{later}"))
}

#[test]
fn what_takes_nothing_from_callers_is_a_patch_or_adds() {
    let next_package: Edit = ("test:shop@1.0.0 {", "test:shop@1.2.0 {");
    let cases: [(&[Edit], Step, &[&str]); 14] = [
        (&[], Step::Patch, &[]),
        (&[("interface money", "/// Money.\n  interface money")], Step::Patch, &[]),
        (
            &[("count: func() -> u32;", "count: func() -> u32; sum: func() -> u64;")],
            Step::Minor,
            &["test:shop/orders#sum"],
        ),
        (&[("export ping", "export pong: func(); export ping")], Step::Minor, &["pong"]),
        (&[("export ping", "export test:shop/money@1.0.0; export ping")], Step::Minor, &["test:shop/money@1.0.0"]),
        (&[("add: func(", "clear: func(); add: func(")], Step::Minor, &["test:shop/orders#basket.clear"]),
        (&[("enum state", "record extra { a: u8 } enum state")], Step::Patch, &[]),
        // What a component imports is not its callers' business.
        (&[("import ask: func() -> string;", "")], Step::Patch, &[]),
        (&[("import ask: func() -> string;", "import ask: func() -> u8;")], Step::Patch, &[]),
        (&[("import wasi:clocks/wall-clock@0.2.0;", "")], Step::Patch, &[]),
        (&[("now: func() -> datetime;", "resolution: func() -> u64;")], Step::Patch, &[]),
        (&[("rate: func() -> f64;", "")], Step::Patch, &[]),
        (
            &[("record datetime { seconds: u64 }", "record datetime { seconds: u64, nanoseconds: u32 }")],
            Step::Patch,
            &[],
        ),
        // The package's own version rises with the component's.
        (&[next_package, ("@1.0.0;", "@1.2.0;")], Step::Patch, &[]),
    ];
    for (edits, step, added) in cases {
        let changes = compared(SHOP, &shop(edits));
        assert_eq!((changes.step(), changes.report().as_str()), (step, ""), "{edits:?}: {changes:#?}");
        assert_eq!(changes.added, added, "{edits:?}");
    }
}

#[test]
fn what_callers_lose_is_told_in_wit() {
    let all = ["basket.constructor", "basket.add", "basket.of", "place", "pay", "count"];
    let cases: [(&[Edit], &[&str], &[&str]); 18] = [
        (&[("count: func() -> u32;", "")], &["test:shop/orders", "  - count: func() -> u32"], &["count"]),
        (
            &[("count: func() -> u32;", "count: func() -> u64;")],
            &["  - count: func() -> u32", "  + count: func() -> u64"],
            &["count"],
        ),
        (&[("count: func() -> u32;", "count: func();")], &["  + count: func()"], &["count"]),
        (&[("count: func()", "count: func(of: string)")], &["  + count: func(of: string) -> u32"], &["count"]),
        (&[("pay: func(id: u64", "pay: func(order: u64")], &["  - pay: func(id: u64, purse: borrow<purse>)"], &["pay"]),
        (
            &[("record order { id: u64,", "record order { id: u32,")],
            &["    record order {", "  -   id: u64,", "  +   id: u32,"],
            &["place"],
        ),
        (&[("lines: list<line>, ", "")], &["  -   lines: list<line>,"], &["place"]),
        (
            &[("record line { name: string,", "record line { title: string,")],
            &["  -   name: string,"],
            &["basket.add", "place"],
        ),
        (&[("enum state { open, paid }", "enum state { open, paid, lost }")], &["  +   lost,"], &["place"]),
        (
            &[("variant failure { unknown,", "variant failure { unknown(u8),")],
            &["  +   unknown(u8),"],
            &["place", "pay"],
        ),
        (&[("list<line>", "list<line, 4>")], &["  +   lines: list<line, 4>,"], &["place"]),
        (
            &[("constructor(owner: string)", "constructor()")],
            &["  + basket.constructor: func()"],
            &["basket.constructor"],
        ),
        (
            &[("of: static func(owner", "of: func(owner")],
            &["  - basket.of: static func(", "  + basket.of: func("],
            &["basket.of"],
        ),
        // Types of an interface that is only imported, where exports use them.
        (
            &[("record price { cents: u64 }", "record price { cents: u32 }")],
            &["test:shop/money", "  -   cents: u64,"],
            &["basket.add", "place"],
        ),
        (&[("export ping: func(times: u32) -> string;", "")], &["world", "  - ping: func(times: u32)"], &["ping"]),
        (&[("ping: func(times: u32)", "ping: func(times: u8)")], &["  + ping: func(times: u8)"], &["ping"]),
        (&[("export test:shop/orders@1.0.0;", "")], &["  - export test:shop/orders@1.0.0"], &all),
        (
            &[("@1.0.0;", "@2.0.0;"), ("test:shop@1.0.0 {", "test:shop@2.0.0 {")],
            &["  - export test:shop/orders@1.0.0"],
            &all,
        ),
    ];
    for (edits, lines, functions) in cases {
        let changes = compared(SHOP, &shop(edits));
        let report = changes.report();
        assert_eq!(changes.step(), Step::Major, "{edits:?}");
        for line in lines {
            assert!(report.lines().any(|found| found.starts_with(line)), "{edits:?}: no {line:?} in\n{report}");
        }
        let lost: Vec<_> =
            changes.functions_lost.iter().filter_map(|name| name.split_once('#')).map(|(_, f)| f).collect();
        assert_eq!(lost, functions, "{edits:?}\n{report}");
    }
}

#[test]
fn a_resource_of_another_line_is_another_one() {
    let edits: [Edit; 3] = [
        ("import test:shop/money@1.0.0;", "import test:coin/money@2.0.0;"),
        ("use money.{", "use test:coin/money@2.0.0.{"),
        (
            "  interface money {\n    record price { cents: u64 }\n    resource purse { empty: func() -> list<price>; }\n    rate: func() -> f64;\n  }\n",
            "",
        ),
    ];
    let coin = |version: &str| {
        let own = format!(
            "package test:coin@{version} {{ interface money {{ record price {{ cents: u64 }} resource purse; }} }}\n"
        );
        shop(&edits).replace("test:coin/money@2.0.0", &format!("test:coin/money@{version}")) + &own
    };
    assert_eq!(compared(&coin("2.0.0"), &coin("2.1.0")).report(), "");
    let changes = compared(&coin("2.0.0"), &coin("3.0.0"));
    assert!(changes.report().contains("- resource purse of test:coin/money@2.0.0"), "{}", changes.report());
    assert_eq!(changes.functions_lost, ["test:shop/orders#pay"]);
    assert_eq!(changes.imports_added, ["test:coin/money@3.0.0"]);
}

#[test]
fn imports_that_come_and_go_are_named() {
    let later = shop(&[
        ("import ask: func() -> string;", "import wasi:clocks/extra@0.2.0;"),
        ("interface wall-clock {", "interface extra { f: func(); } interface wall-clock {"),
    ]);
    let changes = compared(SHOP, &later);
    assert_eq!(
        (changes.imports_added, changes.imports_removed),
        (vec!["wasi:clocks/extra@0.2.0".to_owned()], vec!["ask".to_owned()])
    );
}

#[test]
fn two_versions_of_a_package_at_once_do_not_get_in_each_others_way() {
    let second = "package test:shop@2.0.0 { interface orders { count: func() -> u64; } }\n\
                  package wasi:clocks@0.2.9 { interface wall-clock { now: func() -> u64; } }\n";
    let later =
        shop(&[("export ping", "import wasi:clocks/wall-clock@0.2.9; export test:shop/orders@2.0.0; export ping")])
            + second;
    let changes = compared(SHOP, &later);
    assert_eq!((changes.report().as_str(), changes.added), ("", vec!["test:shop/orders@2.0.0".to_owned()]));
    let changes = compared(&later, SHOP);
    assert!(changes.report().contains("- export test:shop/orders@2.0.0"), "{}", changes.report());
}

#[test]
fn what_is_exported_and_imported_at_once_is_compared_as_an_export() {
    let both = shop(&[("export ping", "export test:shop/money@1.0.0; export ping")]);
    assert_eq!(compared(&both, &both).report(), "");
    let later = both.replace("rate: func() -> f64;", "");
    assert!(compared(&both, &later).report().contains("- rate: func() -> f64"));
}

#[test]
fn a_package_may_gain_a_version_but_not_lose_it() {
    let unversioned =
        SHOP.replace("test:shop@1.0.0", "test:shop").replace("money@1.0.0", "money").replace("orders@1.0.0", "orders");
    assert_eq!(compared(&unversioned, SHOP).report(), "");
    assert!(compared(SHOP, &unversioned).report().contains("- export test:shop/orders@1.0.0"));
}

#[test]
fn texts_that_are_no_component_are_errors_that_say_which() {
    let cases =
        [("", SHOP, "earlier"), (SHOP, "package a:b; world c {", "later"), (SHOP, "package root:component;", "later")];
    for (earlier, later, which) in cases {
        let error = compare(earlier, later).unwrap_err().to_string();
        assert!(error.contains(which), "{error}");
    }
}

#[test]
fn a_report_is_bounded() {
    let functions: String = (0..500).map(|n| format!("do{n}: func(a: string) -> u8;")).collect();
    let text = |functions: &str| {
        format!(
            "package root:component; world root {{ export a:b/c; }} package a:b {{ interface c {{ {functions} }} }}"
        )
    };
    let changes = compared(&text(&functions), &text(""));
    assert_eq!(changes.functions_lost.len(), 500);
    let report = changes.report();
    assert_eq!(report.lines().count(), 81);
    assert!(report.ends_with("lines more"), "{report}");
}
