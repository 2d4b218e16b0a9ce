//! The languages that people are answered in: English, and Chinese where they ask for it.
//!
//! The host's sentences are written in English where they arise. [`Language::say`] looks a finished sentence up in a catalogue of
//! patterns (`language/zh.txt`) and puts what stood in its gaps into the Chinese one; what the catalogue does not know stays
//! English. Titles and explanations of problem codes stand in `language/problems.txt`; there every code must be. Documentation
//! in WIT may be in both languages: see [`Language::of_documentation`].

use crate::ProblemCode;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// How deep sentences stand in the gaps of others.
const DEPTH_MAX: usize = 4;
/// Bytes of a sentence that is looked up: none of the host's own is longer, but for what it quotes.
const SENTENCE_BYTES_MAX: usize = 4 << 10;
/// How a paragraph of documentation in Chinese begins.
const MARK: &str = "zh:";

/// A language.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// English, which everything is written in.
    #[default]
    English,
    /// Chinese, in simplified characters.
    Chinese,
}

/// A sentence with gaps: what stands before, between and after them.
struct Sentence {
    pieces: Vec<&'static str>,
}

/// A sentence in both languages.
struct Entry {
    english: Sentence,
    /// The Chinese one, and which gap of the English one stands in each of its own.
    chinese: Sentence,
    gaps: Vec<usize>,
}

/// Sentences by how they begin, up to their first gap.
static SENTENCES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let mut entries: Vec<Entry> = pairs(include_str!("language/zh.txt")).filter_map(Entry::read).collect();
    // Of several that fit, the one that says more itself.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.english.pieces.iter().map(|piece| piece.len()).sum::<usize>()));
    entries
});

/// Titles and explanations of problem codes in Chinese.
static PROBLEMS: LazyLock<HashMap<&str, (&str, &str)>> = LazyLock::new(|| {
    let lines = lines(include_str!("language/problems.txt"));
    let read = |line: &'static str| {
        let (code, rest) = line.split_once(' ')?;
        let (title, explanation) = rest.split_once('。')?;
        Some((code, (title, explanation.trim())))
    };
    lines.filter_map(read).collect()
});

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty())
}

/// The catalogue's pairs: a line in English, and after it one in Chinese, which is indented.
fn pairs(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut english = None;
    lines(text).filter_map(move |line| match line.strip_prefix("    ") {
        Some(chinese) => Some((english.take()?, chinese)),
        None => {
            english = Some(line);
            None
        }
    })
}

impl Language {
    /// That of a locale, as `LANG` names it.
    pub fn of_locale(locale: &str) -> Self {
        Self::of_tag(locale.split(['_', '.', '@']).next().unwrap_or_default())
    }

    /// That of a language tag (BCP 47), as `zh-CN`.
    pub fn of_tag(tag: &str) -> Self {
        match tag.split('-').next() {
            Some(primary) if primary.eq_ignore_ascii_case("zh") => Self::Chinese,
            _ => Self::English,
        }
    }

    /// The tag of it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// The title of a kind of problem.
    pub fn title(self, code: ProblemCode) -> &'static str {
        let chinese = PROBLEMS.get(code.as_str()).filter(|_| self == Self::Chinese);
        chinese.map_or_else(|| code.title(), |(title, _)| title)
    }

    /// What a kind of problem means, and what to do about it.
    pub fn explanation(self, code: ProblemCode) -> &'static str {
        let chinese = PROBLEMS.get(code.as_str()).filter(|_| self == Self::Chinese);
        chinese.map_or_else(|| code.explanation(), |(_, explanation)| explanation)
    }

    /// A sentence of the host's in this language, or as it is.
    pub fn say(self, sentence: &str) -> Cow<'_, str> {
        match self {
            Self::English => Cow::Borrowed(sentence),
            Self::Chinese => translated(sentence, DEPTH_MAX).map_or(Cow::Borrowed(sentence), Cow::Owned),
        }
    }

    /// Documentation in this language. A paragraph that begins with `zh:` is the Chinese of what stands before it, up to the
    /// paragraph in Chinese before that; what has none is shown to everybody.
    pub fn of_documentation(self, text: &str) -> Cow<'_, str> {
        if !text.contains(MARK) {
            return Cow::Borrowed(text);
        }
        let (mut shown, mut untranslated) = (Vec::new(), 0);
        for paragraph in text.split("\n\n") {
            match (paragraph.trim_start().strip_prefix(MARK), self) {
                (Some(_), Self::English) => {}
                (Some(chinese), Self::Chinese) => {
                    shown.truncate(untranslated);
                    shown.push(chinese.trim_start());
                    untranslated = shown.len();
                }
                (None, _) => shown.push(paragraph),
            }
        }
        Cow::Owned(shown.join("\n\n"))
    }
}

fn translated(sentence: &str, depth: usize) -> Option<String> {
    if depth == 0 || sentence.is_empty() || sentence.len() > SENTENCE_BYTES_MAX {
        return None;
    }
    let known = SENTENCES.iter().find_map(|entry| {
        let gaps = entry.english.gaps_in(sentence)?;
        let said = |gap: &str| translated(gap, depth - 1).unwrap_or_else(|| gap.to_owned());
        let mut text = String::new();
        for (at, piece) in entry.chinese.pieces.iter().enumerate() {
            text.push_str(piece);
            let gap = entry.gaps.get(at).and_then(|gap| gaps.get(*gap));
            text.extend(gap.map(|gap| said(gap)));
        }
        Some(text)
    });
    // Where it is, and then what is wrong there.
    known.or_else(|| {
        let (place, what) = sentence.split_once(": ")?;
        Some(format!("{place}：{}", translated(what, depth - 1)?))
    })
}

impl Entry {
    fn read((english, chinese): (&'static str, &'static str)) -> Option<Self> {
        let (english, numbers) = Sentence::read(english);
        let (chinese, gaps) = Sentence::read(chinese);
        let of = |gap: &usize| numbers.iter().position(|number| number == gap);
        let gaps = gaps.iter().map(of).collect::<Option<Vec<_>>>()?;
        Some(Self { english, chinese, gaps })
    }
}

impl Sentence {
    /// The pieces, and the numbers of the gaps between them: `{0}` and so on.
    fn read(text: &'static str) -> (Self, Vec<usize>) {
        let (mut pieces, mut gaps, mut piece, mut at) = (Vec::new(), Vec::new(), 0, 0);
        while let Some(open) = text.get(at..).and_then(|rest| rest.find('{')).map(|open| at + open) {
            let number = text.get(open + 1..open + 2).and_then(|digit| digit.parse().ok());
            match number.filter(|_| text.get(open + 2..open + 3) == Some("}")) {
                Some(number) => {
                    pieces.push(text.get(piece..open).unwrap_or_default());
                    gaps.push(number);
                    (piece, at) = (open + 3, open + 3);
                }
                None => at = open + 1,
            }
        }
        pieces.push(text.get(piece..).unwrap_or_default());
        (Self { pieces }, gaps)
    }

    /// What stands in the gaps, if the text is this sentence.
    fn gaps_in<'a>(&self, text: &'a str) -> Option<Vec<&'a str>> {
        let (first, others) = self.pieces.split_first()?;
        let mut rest = text.strip_prefix(first)?;
        let Some((last, between)) = others.split_last() else { return rest.is_empty().then(Vec::new) };
        let mut gaps = Vec::with_capacity(others.len());
        for piece in between {
            let (gap, after) = rest.split_once(piece)?;
            gaps.push(gap);
            rest = after;
        }
        gaps.push(rest.strip_suffix(last)?);
        // What stands before a sentence's own words is a name: another sentence ends with a colon there.
        let begins_with_name = first.is_empty() && others.first().is_some_and(|next| !next.starts_with(':'));
        let is_sentence = gaps.first().is_some_and(|gap| gap.contains(": "));
        (!begins_with_name || !is_sentence).then_some(gaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_code_is_in_both_languages() {
        for code in ProblemCode::ALL.iter().copied() {
            let (title, explanation) = PROBLEMS.get(code.as_str()).copied().unwrap_or_default();
            let is_chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
            assert!(is_chinese(title) && is_chinese(explanation), "{code} is not in language/problems.txt");
            assert_eq!((Language::Chinese.title(code), Language::English.title(code)), (title, code.title()));
        }
        let known = |code: &str| ProblemCode::ALL.iter().any(|known| known.as_str() == code);
        let unknown: Vec<_> = PROBLEMS.keys().filter(|code| !known(code)).collect();
        assert!(unknown.iter().all(|code| RESERVED.contains(code)), "{unknown:?}");
    }

    /// Codes of the API's contract that the host does not answer with yet.
    const RESERVED: [&str; 3] = ["not-subscribed", "quota-exceeded", "unsupported"];

    #[test]
    fn the_catalogue_is_whole() {
        let text = include_str!("language/zh.txt");
        assert_eq!(lines(text).count(), 2 * SENTENCES.len(), "a line stands alone, or its gaps do not fit");
        let mut english: Vec<_> = pairs(text).map(|(english, _)| english).collect();
        english.sort_unstable();
        assert!(english.windows(2).all(|pair| pair[0] != pair[1]), "a sentence stands there twice");
        for entry in &*SENTENCES {
            let said = entry.english.pieces.concat();
            assert_eq!(entry.gaps.len() + 1, entry.english.pieces.len(), "{said:?} loses what stands in its gaps");
            assert!(said.trim().len() >= 8, "{said:?} says too little to be known again");
        }
    }

    #[test]
    fn sentences_are_known_again_whatever_stands_in_their_gaps() {
        let say = |sentence: &str| Language::Chinese.say(sentence).into_owned();
        let cases = [
            (
                "there is no tenant district; `GET /v1/tenants` lists them",
                "没有租户 district；`GET /v1/tenants` 列出所有租户",
            ),
            ("there is no component a:b on this shelf", "本货架上没有组件 a:b"),
            ("nobody has written this sentence", "nobody has written this sentence"),
            ("", ""),
        ];
        for (english, chinese) in cases {
            assert_eq!(say(english), chinese);
            assert_eq!(Language::English.say(english), english);
        }
        // A sentence in the gap of another one.
        let nested = "1.0.0 cannot run here: the artifact x is missing from the store; restore it from a backup";
        assert_eq!(say(nested), "1.0.0 无法在此运行：存储中缺少 the artifact x；请从备份恢复");
        assert_eq!(say("body: there is no job 7"), "body：没有作业 7");
        let long = format!("there is no component {} on this shelf", "x".repeat(1 << 20));
        assert_eq!(say(&long), long);
    }

    #[test]
    fn languages_go_by_locale_and_tag() {
        for (locale, expected) in [
            ("zh_CN.UTF-8", Language::Chinese),
            ("zh", Language::Chinese),
            ("ZH-Hans-CN", Language::Chinese),
            ("en_US.UTF-8", Language::English),
            ("zha_CN", Language::English),
            ("C", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(Language::of_locale(locale), expected, "{locale}");
        }
    }

    #[test]
    fn documentation_is_shown_in_the_language_that_is_asked_for() {
        let text = "Rates an application.\n\nSlowly.\n\nzh: 评估一份申请。\n\n`func(a: u32)`";
        let english = "Rates an application.\n\nSlowly.\n\n`func(a: u32)`";
        assert_eq!(Language::English.of_documentation(text), english);
        assert_eq!(Language::Chinese.of_documentation(text), "评估一份申请。\n\n`func(a: u32)`");
        assert_eq!(Language::Chinese.of_documentation("One.\n\nzh:一。\n\nTwo.\n\nzh: 二。"), "一。\n\n二。");
        assert_eq!(Language::Chinese.of_documentation("In English only."), "In English only.");
    }
}
