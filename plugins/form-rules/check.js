// Entries of a form against its rules.

import { readers, tidy } from './kinds.js';

/** Rules that cannot be used: which field's, and why. */
export class Fault extends Error {
    constructor(field, reason) {
        super(reason);
        this.field = field;
    }
}

/** Checks `entries` against `fields`; both and the outcome are as in `wit/world.wit`. */
export function check(fields, entries) {
    const rules = new Map();
    for (const field of fields) {
        if (rules.has(field.name)) throw new Fault(field.name, 'two fields have this name');
        rules.set(field.name, { ...field, read: reader(field) });
    }
    for (const { name, need } of fields) {
        if (need.tag === 'when' && !rules.has(need.val.field)) {
            throw new Fault(name, `it is needed by the value of ${need.val.field}, which is no field`);
        }
    }
    const values = new Map();
    const problems = [];
    for (const { field, value } of entries) {
        if (!rules.has(field)) {
            problems.push({ field, words: { en: 'This form has no such field.', zh: '本表没有该字段。' } });
        } else if (values.has(field)) {
            problems.push({ field, words: { en: 'Entered more than once.', zh: '重复填写。' } });
        } else {
            values.set(field, tidy(value));
        }
    }
    const clean = [];
    for (const rule of rules.values()) {
        const value = values.get(rule.name) ?? '';
        const { words, text } = value === '' ? missing(rule, values) : rule.read(value, rule.label);
        if (words) problems.push({ field: rule.name, words });
        else if (text !== undefined) clean.push({ field: rule.name, value: text });
    }
    return { problems, clean };
}

function reader({ name, kind }) {
    try {
        return readers[kind.tag](kind.val);
    } catch (error) {
        throw new Fault(name, error.message);
    }
}

function missing({ need, label }, values) {
    const has = ({ field, values: wanted }) => wanted.some((value) => tidy(value) === values.get(field));
    const needed = need.tag === 'always' || (need.tag === 'when' && has(need.val));
    return needed ? { words: { en: `${label.en} is missing.`, zh: `请填写${label.zh}。` } } : {};
}
