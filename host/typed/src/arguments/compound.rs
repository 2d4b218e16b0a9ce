//! Arguments of defined types: records, variants, lists and so on.

use super::{Arguments, Cow, Field, Kind, Place, Read, Reader, Type, Val, nearest, quote};
use crate::types::{Case, Label, TypeKind};
use crate::write;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashSet;

const VALUE_BYTES: usize = size_of::<Val>();
/// Values that a list has room for at first.
const LIST_GROWTH_MIN: usize = 4;
/// What a string costs beyond its characters: its part of a value is counted with the value, a heap block is not.
const STRING_BYTES: usize = size_of::<String>() + 16;

impl<'a> Arguments<'a> {
    pub(super) fn defined(&mut self, id: u32) -> Read<Val> {
        let types = self.types;
        match types.def(Type::Defined(id)).map(|def| &def.kind) {
            Some(TypeKind::Record(fields)) => self.record(id, fields),
            Some(TypeKind::Variant(cases)) => self.variant(id, cases),
            Some(TypeKind::Enum(labels)) => self.enumeration(id, labels),
            Some(TypeKind::Flags(labels)) => self.flags(id, labels),
            Some(TypeKind::Tuple(elements)) => self.tuple(elements),
            Some(TypeKind::List(element)) => self.list(*element).map(Val::List),
            Some(TypeKind::FixedLengthList(element, length)) => self.fixed_length_list(*element, *length),
            Some(TypeKind::Map(key, value)) => self.map(*key, *value),
            Some(TypeKind::Option(some)) => self.option(*some),
            Some(TypeKind::Result { ok, err }) => self.result(*ok, *err),
            Some(TypeKind::Alias(target)) => self.value(*target),
            Some(TypeKind::NotJson(what)) => Err(self.error(format!("{what} cannot be written as JSON"))),
            None => Err(self.error("the component's description lacks this type: publish the version again".into())),
        }
    }

    fn record(&mut self, id: u32, fields: &'a [Field]) -> Read<Val> {
        self.expect(Kind::Object, "an object (record)")?;
        let types = self.types;
        let values = self.fields(fields, |name, guess| types.label(id, name, guess), "key")?;
        let names = fields.iter().map(|field| field.name.clone());
        Ok(Val::Record(names.zip(values).collect()))
    }

    /// The members of an object, in the order of `fields`.
    pub(super) fn fields(
        &mut self,
        fields: &'a [Field],
        find: impl Fn(&str, usize) -> Option<usize>,
        what: &str,
    ) -> Read<Vec<Val>> {
        let names: usize = fields.iter().map(|field| field.name.len()).sum();
        self.take(names + fields.len() * (2 * VALUE_BYTES + STRING_BYTES))?;
        let mut values: Vec<Option<Val>> = Vec::new();
        values.resize_with(fields.len(), || None);
        let mut guess = 0;
        let mut more = self.check(Reader::object)?;
        while more {
            let key = self.check(Reader::key)?;
            let found = find(&key, guess);
            let Some((index, field, slot)) = found.and_then(|i| Some((i, fields.get(i)?, values.get_mut(i)?))) else {
                return Err(self.unknown(what, key, fields.iter().map(|field| field.name.as_str())));
            };
            if slot.is_some() {
                let message = format!("{what} {} is given twice", quote(&key));
                return Err(self.error_at(key, message));
            }
            let value = self.within(Place::Key(Cow::Borrowed(&field.name)), |this| this.value(field.ty))?;
            *slot = Some(value);
            guess = index + 1;
            more = self.check(Reader::next_member)?;
        }
        self.finish_fields(fields, values, what)
    }

    /// The values in order, with none for options that were left out.
    pub(super) fn finish_fields(
        &mut self,
        fields: &'a [Field],
        values: Vec<Option<Val>>,
        what: &str,
    ) -> Read<Vec<Val>> {
        let mut values = values.into_iter();
        let filled = fields.iter().map(|field| match values.next().flatten() {
            Some(value) => Ok(value),
            None if self.types.is_option(field.ty) => Ok(Val::Option(None)),
            None => Err(self.missing(what, field)),
        });
        filled.collect()
    }

    fn variant(&mut self, id: u32, cases: &'a [Case]) -> Read<Val> {
        match self.kind()? {
            Some(Kind::String) => {
                let name = self.check(Reader::string)?;
                let case = self.case(id, cases, name, false)?;
                if case.ty.is_some() {
                    let message = format!("case {0} has a payload: write {{{0}: …}}", quote(&case.name));
                    return Err(self.error(message));
                }
                self.name(&case.name).map(|name| Val::Variant(name, None))
            }
            Some(Kind::Object) => {
                let (case, payload) = self.one_member("{\"case\": payload}", |this, key| {
                    let case = this.case(id, cases, key, true)?;
                    let Some(ty) = case.ty else {
                        let message = format!("case {0} has no payload: write just {0}", quote(&case.name));
                        return Err(this.error_at(Cow::Borrowed(&case.name), message));
                    };
                    let payload = this.within(Place::Key(Cow::Borrowed(&case.name)), |this| this.boxed(ty))?;
                    Ok((case, payload))
                })?;
                self.name(&case.name).map(|name| Val::Variant(name, Some(payload)))
            }
            found => Err(self.mismatch("a case of the variant: \"case\", or {\"case\": payload}", found)),
        }
    }

    fn case(&mut self, id: u32, cases: &'a [Case], name: Cow<'a, str>, as_key: bool) -> Read<&'a Case> {
        match self.types.label(id, &name, 0).and_then(|index| cases.get(index)) {
            Some(case) => Ok(case),
            None => Err(self.no_label("case", name, as_key, cases.iter().map(|case| case.name.as_str()))),
        }
    }

    fn enumeration(&mut self, id: u32, labels: &'a [Label]) -> Read<Val> {
        self.expect(Kind::String, "a string (case of an enum)")?;
        let name = self.check(Reader::string)?;
        match self.types.label(id, &name, 0).and_then(|index| labels.get(index)) {
            Some(label) => self.name(&label.name).map(Val::Enum),
            None => Err(self.no_label("case", name, false, labels.iter().map(|label| label.name.as_str()))),
        }
    }

    fn flags(&mut self, id: u32, labels: &'a [Label]) -> Read<Val> {
        self.expect(Kind::Array, "an array of strings (flags)")?;
        let mut given = vec![false; labels.len()];
        let mut names = Vec::new();
        let mut more = self.check(Reader::array)?;
        for index in 0.. {
            if !more {
                break;
            }
            let name = self.within(Place::Index(index), |this| {
                this.expect(Kind::String, "a string (flag)")?;
                let name = this.check(Reader::string)?;
                let found = this.types.label(id, &name, index);
                let Some((label, given)) = found.and_then(|i| Some((labels.get(i)?, given.get_mut(i)?))) else {
                    return Err(this.no_label("flag", name, false, labels.iter().map(|label| label.name.as_str())));
                };
                if std::mem::replace(given, true) {
                    return Err(this.error(format!("flag {} is given twice", quote(&name))));
                }
                this.name(&label.name)
            })?;
            names.push(name);
            more = self.check(Reader::next_element)?;
        }
        Ok(Val::Flags(names))
    }

    fn no_label<'n>(
        &mut self,
        what: &str,
        name: Cow<'a, str>,
        as_key: bool,
        known: impl Iterator<Item = &'n str>,
    ) -> super::ArgumentError {
        if as_key {
            return self.unknown(what, name, known);
        }
        self.error(format!("there is no {what} {}: {}", quote(&name), nearest(&name, known)))
    }

    fn tuple(&mut self, elements: &'a [Type]) -> Read<Val> {
        let count = elements.len();
        self.expect(Kind::Array, &format!("an array of {count} elements (tuple)"))?;
        self.take(count * VALUE_BYTES)?;
        let mut values = Vec::with_capacity(count);
        let mut more = self.check(Reader::array)?;
        while more {
            self.places.push(Place::Index(values.len()));
            let Some(element) = elements.get(values.len()) else {
                return Err(self.error(format!("the tuple has {count} elements, this is one more")));
            };
            values.push(self.value(*element)?);
            self.places.pop();
            more = self.check(Reader::next_element)?;
        }
        if values.len() < count {
            return Err(self.error(format!("expected {count} elements (tuple), found {}", values.len())));
        }
        Ok(Val::Tuple(values))
    }

    fn fixed_length_list(&mut self, element: Type, length: u32) -> Read<Val> {
        let values = self.list(element)?;
        match values.len() == length as usize {
            true => Ok(Val::FixedLengthList(values)),
            false => {
                Err(self.error(format!("expected {length} elements (list of this length), found {}", values.len())))
            }
        }
    }

    fn list(&mut self, element: Type) -> Read<Vec<Val>> {
        let bytes = self.types.peel(element) == Type::U8;
        if bytes && self.kind()? == Some(Kind::String) {
            return self.bytes();
        }
        self.expect(
            Kind::Array,
            if bytes { "a base64 string, or an array of integers (list<u8>)" } else { "an array (list)" },
        )?;
        let mut values = Vec::new();
        let mut more = self.check(Reader::array)?;
        while more {
            self.make_room(&mut values)?;
            self.places.push(Place::Index(values.len()));
            values.push(self.value(element)?);
            self.places.pop();
            more = self.check(Reader::next_element)?;
        }
        Ok(values)
    }

    /// Room for one more value. The list grows by half at a time, and what it takes is counted as a whole.
    fn make_room(&mut self, values: &mut Vec<Val>) -> Read<()> {
        if values.len() == values.capacity() {
            let more = (values.len() / 2).max(LIST_GROWTH_MIN);
            self.take(more * VALUE_BYTES)?;
            values.reserve_exact(more);
        }
        Ok(())
    }

    fn bytes(&mut self) -> Read<Vec<Val>> {
        let text = self.check(Reader::string)?;
        self.take(text.len() / 4 * 3 * VALUE_BYTES)?;
        let bytes = STANDARD.decode(text.as_bytes()).map_err(|error| {
            self.error(format!("expected a base64 string (RFC 4648 with padding), but it is not: {error}"))
        })?;
        Ok(bytes.into_iter().map(Val::U8).collect())
    }

    fn map(&mut self, key: Type, value: Type) -> Read<Val> {
        if self.types.peel(key) == Type::String {
            return self.map_of_members(value);
        }
        self.expect(Kind::Array, "an array of [key, value] pairs (map)")?;
        let mut pairs = Vec::new();
        let mut seen = HashSet::new();
        let mut more = self.check(Reader::array)?;
        while more {
            let pair = self.within(Place::Index(pairs.len()), |this| this.pair(key, value))?;
            let written = write::key(self.types, key, &pair.0).map_err(|error| self.error(error.to_string()))?;
            self.take(written.len() + STRING_BYTES)?;
            if !seen.insert(written) {
                self.places.push(Place::Index(pairs.len()));
                return Err(self.error("this key of the map is given twice".into()));
            }
            pairs.push(pair);
            more = self.check(Reader::next_element)?;
        }
        Ok(Val::Map(pairs))
    }

    fn pair(&mut self, key: Type, value: Type) -> Read<(Val, Val)> {
        const EXPECTED: &str = "a [key, value] pair";
        self.take(2 * VALUE_BYTES)?;
        self.expect(Kind::Array, EXPECTED)?;
        if !self.check(Reader::array)? {
            return Err(self.error(format!("expected {EXPECTED}, found an empty array")));
        }
        let key = self.within(Place::Index(0), |this| this.value(key))?;
        if !self.check(Reader::next_element)? {
            return Err(self.error(format!("expected {EXPECTED}, found only one element")));
        }
        let value = self.within(Place::Index(1), |this| this.value(value))?;
        if self.check(Reader::next_element)? {
            return Err(self.error(format!("expected {EXPECTED}, found more than two elements")));
        }
        Ok((key, value))
    }

    fn map_of_members(&mut self, value: Type) -> Read<Val> {
        self.expect(Kind::Object, "an object (map with string keys)")?;
        let mut pairs = Vec::new();
        let mut seen = HashSet::new();
        let mut more = self.check(Reader::object)?;
        while more {
            let key = self.check(Reader::key)?;
            self.take(2 * VALUE_BYTES + 2 * (key.len() + STRING_BYTES))?;
            if !seen.insert(key.clone()) {
                let message = format!("key {} is given twice", quote(&key));
                return Err(self.error_at(key, message));
            }
            let element = self.within(Place::Key(key.clone()), |this| this.value(value))?;
            pairs.push((Val::String(key.into_owned()), element));
            more = self.check(Reader::next_member)?;
        }
        Ok(Val::Map(pairs))
    }

    /// `null` or the value; an option in an option says `{"some": …}`, so that both nulls can be told apart.
    fn option(&mut self, some: Type) -> Read<Val> {
        if self.kind()? == Some(Kind::Null) {
            self.check(Reader::null)?;
            return Ok(Val::Option(None));
        }
        if !self.types.is_option(some) {
            return Ok(Val::Option(Some(self.boxed(some)?)));
        }
        const EXPECTED: &str = "null or {\"some\": …} (option in an option)";
        self.expect(Kind::Object, EXPECTED)?;
        let value = self.one_member(EXPECTED, |this, key| {
            if key != "some" {
                return Err(this.unknown("key", key, ["some"].into_iter()));
            }
            this.within(Place::Key(key), |this| this.boxed(some))
        })?;
        Ok(Val::Option(Some(value)))
    }

    fn result(&mut self, ok: Option<Type>, err: Option<Type>) -> Read<Val> {
        const EXPECTED: &str = "{\"ok\": …} or {\"err\": …} (result)";
        self.expect(Kind::Object, EXPECTED)?;
        let result = self.one_member(EXPECTED, |this, key| match key.as_ref() {
            "ok" => this.within(Place::Key(key), |this| this.payload(ok)).map(Ok),
            "err" => this.within(Place::Key(key), |this| this.payload(err)).map(Err),
            _ => Err(this.unknown("key", key, ["ok", "err"].into_iter())),
        })?;
        Ok(Val::Result(result))
    }

    /// A payload of a result; one without a type is `null`.
    fn payload(&mut self, ty: Option<Type>) -> Read<Option<Box<Val>>> {
        let Some(ty) = ty else {
            self.expect(Kind::Null, "null (this case has no value)")?;
            return self.check(Reader::null).map(|()| None);
        };
        self.boxed(ty).map(Some)
    }

    /// An object with exactly one member, which `read` takes.
    fn one_member<T>(&mut self, expected: &str, read: impl FnOnce(&mut Self, Cow<'a, str>) -> Read<T>) -> Read<T> {
        if !self.check(Reader::object)? {
            return Err(self.error(format!("expected {expected}, found an empty object")));
        }
        let key = self.check(Reader::key)?;
        let value = read(self, key)?;
        if self.check(Reader::next_member)? {
            let key = self.check(Reader::key)?;
            return Err(self.error_at(key, format!("expected {expected}, found a second key")));
        }
        Ok(value)
    }

    fn boxed(&mut self, ty: Type) -> Read<Box<Val>> {
        self.take(VALUE_BYTES)?;
        self.value(ty).map(Box::new)
    }

    fn name(&mut self, name: &str) -> Read<String> {
        self.take(name.len() + STRING_BYTES)?;
        Ok(name.to_owned())
    }
}
