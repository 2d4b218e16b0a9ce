//! The report that people read.

use crate::exports::form::report::reporting::{Form, Language, Merged, Report, Row, Text};
use crate::values;

/// Writes the merged form as rows and as Markdown.
pub fn write(form: &Form, merged: &Merged, language: Language) -> Report {
    let words = |text: &Text| match language {
        Language::En => text.en.clone(),
        Language::Zh => text.zh.clone(),
    };
    let empty = pick(language, "—", "（空）");
    let rows: Vec<Row> = form
        .fields
        .iter()
        .zip(&merged.cells)
        .map(|(field, cell)| Row {
            label: words(&field.label),
            value: cell.value.as_ref().map_or_else(|| empty.to_owned(), |value| values::in_words(value, language)),
            sources: cell.sources.clone(),
        })
        .collect();
    let title = words(&form.title);
    let mut lines =
        vec![format!("# {}", inline(&title)), String::new(), heading(language), "| --- | --- | --- |".to_owned()];
    lines.extend(rows.iter().map(|row| {
        format!("| {} | {} | {} |", inline(&row.label), inline(&row.value), inline(&row.sources.join(", ")))
    }));
    section(
        &mut lines,
        pick(language, "Contradictions", "数据冲突"),
        merged.conflicts.iter().map(|conflict| {
            let values =
                conflict.values.iter().map(|(who, value)| format!("{who}: {}", values::in_words(value, language)));
            format!("{}: {}", conflict.field, values.collect::<Vec<_>>().join("; "))
        }),
    );
    section(
        &mut lines,
        pick(language, "Failed checks", "校验未通过"),
        merged.issues.iter().map(|issue| words(&issue.words)),
    );
    section(
        &mut lines,
        pick(language, "Missing", "尚未填报"),
        merged.missing.iter().map(|debt| {
            let who = debt.collector.as_deref().unwrap_or(pick(language, "anybody", "任意填报人"));
            format!("{who}: {}", debt.fields.join(", "))
        }),
    );
    Report { title, rows, markdown: lines.join("\n") + "\n", complete: merged.complete }
}

fn heading(language: Language) -> String {
    pick(language, "| field | value | from |", "| 项目 | 内容 | 来源 |").to_owned()
}

fn section(lines: &mut Vec<String>, title: &str, items: impl Iterator<Item = String>) {
    let mut items = items.peekable();
    if items.peek().is_some() {
        lines.extend([String::new(), format!("## {title}"), String::new()]);
        lines.extend(items.map(|item| format!("- {}", inline(&item))));
    }
}

/// A text that cannot break out of its line or table cell.
fn inline(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('|', "\\|")
}

fn pick<'a>(language: Language, en: &'a str, zh: &'a str) -> &'a str {
    match language {
        Language::En => en,
        Language::Zh => zh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::collect;
    use crate::exports::form::report::reporting::{Answer, Entry, Field, Kind, Merge, Value};
    use crate::values::text;

    #[test]
    fn a_report_has_rows_and_says_what_is_missing() {
        let field = |id: &str, en: &str, zh: &str| Field {
            id: id.into(),
            label: text(en, zh),
            kind: Kind::Text(0),
            required: true,
            merge: Merge::Latest,
            collectors: vec![],
        };
        let form = Form {
            id: "f".into(),
            title: text("Report", "报表"),
            fields: vec![field("name", "Name", "名称"), field("note", "Note", "备注")],
            checks: vec![],
        };
        let answers = vec![Answer { field: "name".into(), value: Value::Text("a|b\nc".into()) }];
        let merged = collect(&form, &[Entry { collector: "street".into(), at: 1, answers }]).unwrap();
        let report = write(&form, &merged, Language::Zh);
        assert!(!report.complete);
        assert!(report.markdown.contains("| 名称 | a\\|b c | street |"), "{}", report.markdown);
        assert!(report.markdown.contains("## 尚未填报\n\n- 任意填报人: note"), "{}", report.markdown);
    }
}
