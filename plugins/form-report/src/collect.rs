//! Merging entries field by field, and finding out who still owes what.

use crate::checks;
use crate::exports::form::report::reporting::{
    Cell, Conflict, Debt, Entry, Field, Form, FormError, Kind, Merge, Merged, Value,
};
use crate::values;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One collector's value of a field.
struct Given<'a> {
    collector: &'a str,
    at: u64,
    value: &'a Value,
}

/// Merges the entries, checks the result and lists who is missing.
pub fn collect(form: &Form, entries: &[Entry]) -> Result<Merged, FormError> {
    let fields = fields(form)?;
    let given = read(&fields, entries)?;
    let (mut cells, mut conflicts) = (Vec::new(), Vec::new());
    for field in &form.fields {
        let values = given.get(field.id.as_str()).map(Vec::as_slice).unwrap_or_default();
        let (cell, conflict) = merge(field, values);
        cells.push(cell);
        conflicts.extend(conflict);
    }
    let issues = checks::run(form, &cells);
    let missing = missing(form, &cells, &conflicts, &given);
    let complete = conflicts.is_empty() && issues.is_empty() && missing.is_empty();
    Ok(Merged { cells, conflicts, issues, missing, complete })
}

fn fields(form: &Form) -> Result<HashMap<&str, &Field>, FormError> {
    let mut fields = HashMap::new();
    for field in &form.fields {
        if fields.insert(field.id.as_str(), field).is_some() {
            return Err(FormError::BadForm(format!("two fields have the id {:?}", field.id)));
        }
        let numeric = matches!(field.kind, Kind::Integer(_) | Kind::Decimal(_));
        if field.merge == Merge::Sum && !numeric {
            return Err(FormError::BadForm(format!("field {:?} is no number and cannot be summed", field.id)));
        }
        if field.merge == Merge::Largest && !numeric && !matches!(field.kind, Kind::Date) {
            return Err(FormError::BadForm(format!("field {:?} has no largest value", field.id)));
        }
    }
    checks::check_names(form, &fields)?;
    Ok(fields)
}

/// What was given for each field: of each collector the latest value, in the order of the entries.
fn read<'a>(
    fields: &HashMap<&str, &Field>,
    entries: &'a [Entry],
) -> Result<HashMap<&'a str, Vec<Given<'a>>>, FormError> {
    let mut latest: HashMap<&str, BTreeMap<&str, (usize, Given<'a>)>> = HashMap::new();
    let answers = entries.iter().flat_map(|entry| entry.answers.iter().map(move |answer| (entry, answer)));
    for (order, (entry, answer)) in answers.enumerate() {
        let name = || (entry.collector.clone(), answer.field.clone());
        let Some(field) = fields.get(answer.field.as_str()) else { return Err(FormError::UnknownField(name())) };
        if let Some(why) = values::misfit(&field.kind, &answer.value) {
            let (collector, field) = name();
            return Err(FormError::BadValue((collector, field, why)));
        }
        let given = Given { collector: &entry.collector, at: entry.at, value: &answer.value };
        let of_field = latest.entry(answer.field.as_str()).or_default();
        match of_field.get(given.collector) {
            Some((_, before)) if before.at > given.at => {}
            _ => {
                of_field.insert(given.collector, (order, given));
            }
        }
    }
    let in_order = |(field, by_collector): (&'a str, BTreeMap<&str, (usize, Given<'a>)>)| {
        let mut values: Vec<_> = by_collector.into_values().collect();
        values.sort_by_key(|(order, _)| *order);
        (field, values.into_iter().map(|(_, given)| given).collect())
    };
    Ok(latest.into_iter().map(in_order).collect())
}

fn merge(field: &Field, given: &[Given<'_>]) -> (Cell, Option<Conflict>) {
    let cell = |value: Option<Value>, sources: Vec<&str>| Cell {
        field: field.id.clone(),
        value,
        sources: sources.into_iter().map(str::to_owned).collect(),
    };
    let one = |chosen: Option<&Given<'_>>| {
        (cell(chosen.map(|given| given.value.clone()), chosen.map(|given| given.collector).into_iter().collect()), None)
    };
    let all = || given.iter().map(|given| given.collector).collect::<Vec<_>>();
    let conflict = || {
        let values = given.iter().map(|given| (given.collector.to_owned(), given.value.clone())).collect();
        (cell(None, all()), Some(Conflict { field: field.id.clone(), values }))
    };
    match field.merge {
        // Between equal times the later entry wins.
        Merge::Latest => one(given.iter().max_by_key(|given| given.at)),
        Merge::First => one(given.iter().min_by_key(|given| given.at)),
        Merge::Largest => one(given.iter().reduce(|most, next| {
            if values::compare(next.value, most.value) == Some(Ordering::Greater) { next } else { most }
        })),
        Merge::Agree => match given.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other.value == first.value) => {
                (cell(Some(first.value.clone()), all()), None)
            }
            Some(_) => conflict(),
            None => (cell(None, Vec::new()), None),
        },
        Merge::Sum => {
            let Some((first, rest)) = given.split_first() else { return (cell(None, Vec::new()), None) };
            let sum = rest.iter().try_fold(first.value.clone(), |sum, next| values::add(&sum, next.value));
            // Numbers too large to add contradict any report.
            sum.map_or_else(conflict, |sum| (cell(Some(sum), all()), None))
        }
    }
}

/// Who owes which required field: each collector it is assigned to, or nobody in particular.
fn missing(form: &Form, cells: &[Cell], conflicts: &[Conflict], given: &HashMap<&str, Vec<Given<'_>>>) -> Vec<Debt> {
    let mut debts: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::new();
    let contradicted: BTreeSet<&str> = conflicts.iter().map(|conflict| conflict.field.as_str()).collect();
    for (field, cell) in form.fields.iter().zip(cells).filter(|(field, _)| field.required) {
        if field.collectors.is_empty() {
            if cell.value.is_none() && !contradicted.contains(field.id.as_str()) {
                debts.entry(None).or_default().push(field.id.clone());
            }
            continue;
        }
        let values = given.get(field.id.as_str()).map(Vec::as_slice).unwrap_or_default();
        let filled: BTreeSet<&str> = values.iter().map(|given| given.collector).collect();
        for collector in field.collectors.iter().filter(|collector| !filled.contains(collector.as_str())) {
            debts.entry(Some(collector)).or_default().push(field.id.clone());
        }
    }
    let debt =
        |(collector, fields): (Option<&str>, Vec<String>)| Debt { collector: collector.map(str::to_owned), fields };
    debts.into_iter().map(debt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::form::report::reporting::{Answer, Range};
    use crate::values::text;

    fn field(id: &str, merge: Merge, collectors: &[&str]) -> Field {
        let kind = Kind::Integer(Range { min: None, max: None });
        let collectors = collectors.iter().map(|name| (*name).to_owned()).collect();
        Field { id: id.into(), label: text(id, id), kind, required: true, merge, collectors }
    }

    fn form(fields: Vec<Field>) -> Form {
        Form { id: "f".into(), title: text("F", "表"), fields, checks: vec![] }
    }

    fn entry(collector: &str, at: u64, value: i64) -> Entry {
        Entry {
            collector: collector.into(),
            at,
            answers: vec![Answer { field: "n".into(), value: Value::Integer(value) }],
        }
    }

    #[test]
    fn each_rule_merges_in_its_way() {
        let entries =
            [entry("street-a", 10, 3), entry("street-b", 5, 7), entry("street-a", 20, 4), entry("street-a", 15, 9)];
        for (rule, value, sources) in [
            (Merge::Latest, Some(4), vec!["street-a"]),
            (Merge::First, Some(7), vec!["street-b"]),
            (Merge::Largest, Some(7), vec!["street-b"]),
            (Merge::Sum, Some(11), vec!["street-b", "street-a"]),
            (Merge::Agree, None, vec!["street-b", "street-a"]),
        ] {
            let merged = collect(&form(vec![field("n", rule, &[])]), &entries).unwrap();
            assert_eq!(merged.cells[0].value, value.map(Value::Integer), "{rule:?}");
            assert_eq!(merged.cells[0].sources, sources, "{rule:?}");
            assert_eq!(merged.conflicts.len(), usize::from(rule == Merge::Agree), "{rule:?}");
            assert_eq!(merged.complete, rule != Merge::Agree, "{rule:?}");
        }
    }

    #[test]
    fn equal_values_agree_and_sums_that_overflow_conflict() {
        let same = [entry("a", 1, 5), entry("b", 2, 5)];
        assert!(collect(&form(vec![field("n", Merge::Agree, &[])]), &same).unwrap().complete);
        let huge = [entry("a", 1, i64::MAX), entry("b", 2, 1)];
        assert_eq!(collect(&form(vec![field("n", Merge::Sum, &[])]), &huge).unwrap().conflicts.len(), 1);
    }

    #[test]
    fn everybody_who_owes_a_required_field_is_listed() {
        let form = form(vec![field("n", Merge::Sum, &["a", "b", "c"]), field("m", Merge::Latest, &[])]);
        let missing = collect(&form, &[entry("b", 1, 5)]).unwrap().missing;
        let owed: Vec<_> = missing.iter().map(|debt| (debt.collector.as_deref(), debt.fields.join(","))).collect();
        assert_eq!(owed, [(None, "m".into()), (Some("a"), "n".into()), (Some("c"), "n".into())]);
    }

    #[test]
    fn bad_forms_and_entries_are_named() {
        let twice = form(vec![field("n", Merge::Sum, &[]), field("n", Merge::Sum, &[])]);
        assert!(matches!(collect(&twice, &[]), Err(FormError::BadForm(_))));
        let mut words = field("n", Merge::Sum, &[]);
        words.kind = Kind::Text(0);
        assert!(matches!(collect(&form(vec![words]), &[]), Err(FormError::BadForm(_))));
        let other = form(vec![field("m", Merge::Sum, &[])]);
        assert_eq!(collect(&other, &[entry("a", 1, 1)]), Err(FormError::UnknownField(("a".into(), "n".into()))));
        let mut small = field("n", Merge::Sum, &[]);
        small.kind = Kind::Integer(Range { min: None, max: Some(1) });
        assert!(matches!(collect(&form(vec![small]), &[entry("a", 1, 2)]), Err(FormError::BadValue(_))));
    }

    #[test]
    fn an_empty_form_is_complete() {
        assert!(collect(&form(vec![]), &[]).unwrap().complete);
    }
}
