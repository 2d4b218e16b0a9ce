//! Every target, tried a bounded number of times with examples that were changed a little; `PROPTEST_CASES` says how often.

#![expect(clippy::expect_used, reason = "an example that does not parse fails the test")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use std::sync::LazyLock;
use wares_fuzz::TARGETS;

/// Changes of one example.
const CHANGES_MAX: usize = 12;
/// Bytes that one change puts in.
const INSERTED_BYTES_MAX: usize = 64;

/// What the inputs are made of: whole examples of each kind.
static EXAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut examples: Vec<Vec<u8>> = TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect();
    examples.extend(COMPONENTS.iter().map(|text| wat::parse_str(text).expect("a component")));
    examples.extend([Vec::new(), (0..=255).collect(), vec![0; 2_048]]);
    examples
});

const TEXTS: [&str; 6] = [
    include_str!("../../../plugins/form-report/wares.toml"),
    include_str!("../../../plugins/benefit-match/wares.toml"),
    "oci://registry.example:5000/benefit/matching:1.2.3",
    "^1.2.3-rc.1, <2",
    "benefit:matching",
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.wasm.config.v0+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/wasm","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}]}"#,
];

const COMPONENTS: [&str; 3] = [
    include_str!("../../guests/waits.wat"),
    include_str!("../../guests/hostile.wat"),
    "(component (component) (core module) (type (instance (type (component)))) (import \"a:b/c@1.0.0\" (instance)))",
];

#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Cut(Index, Index),
    Insert(Index, Vec<u8>),
    Repeat(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(at, to)| Change::Cut(at, to)),
        2 => (any::<Index>(), vec(any::<u8>(), 1..INSERTED_BYTES_MAX)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(at, to)| Change::Repeat(at, to)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        // One place more than there are bytes: the end is one.
        let place = |index: &Index| index.index(bytes.len() + 1);
        let range = |one: &Index, other: &Index| place(one).min(place(other))..place(one).max(place(other));
        match change {
            Change::Set(at, byte) => {
                let at = place(at);
                bytes.iter_mut().skip(at).take(1).for_each(|found| *found = *byte);
            }
            Change::Cut(one, other) => drop(bytes.drain(range(one, other))),
            Change::Insert(at, more) => {
                let at = place(at);
                drop(bytes.splice(at..at, more.iter().copied()));
            }
            Change::Repeat(one, other) => {
                let range = range(one, other);
                let (end, part) = (range.end, bytes.get(range).unwrap_or_default().to_vec());
                drop(bytes.splice(end..end, part));
            }
        }
    }
    bytes
}

#[test]
fn no_input_is_too_much_for_any_reader() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let input = (any::<Index>(), vec(change(), 0..CHANGES_MAX))
        .prop_map(|(example, changes)| changed(example.get(&EXAMPLES).clone(), &changes));
    for (name, target) in TARGETS {
        let tried = runner.run(&input, |bytes| {
            target(&bytes);
            Ok(())
        });
        if let Err(found) = tried {
            panic!("{name}: {found}");
        }
    }
}
