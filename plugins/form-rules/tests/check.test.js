import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check, Fault } from '../check.js';

const label = { en: 'It', zh: '该项' };
const field = (kind, need = { tag: 'never' }, name = 'it') => ({ name, label, kind, need });
const one = (kind, value) => check([field(kind)], [{ field: 'it', value }]);

test('values are stored in one form', () => {
    for (const [kind, value, stored] of [
        [{ tag: 'mobile' }, ' +86 138-0013-8000', '13800138000'],
        [{ tag: 'mobile' }, '１３８００１３８０００', '13800138000'],
        [{ tag: 'number', val: { whole: true } }, '1,200', '1200'],
        [{ tag: 'number', val: { least: 0, most: 1, whole: false } }, '.50', '0.5'],
        [{ tag: 'number', val: { whole: false } }, '12345678901234567.89', '12345678901234567.89'],
        [{ tag: 'number', val: { whole: false } }, '0.0000001', '0.0000001'],
        [{ tag: 'number', val: { whole: false } }, '+007.10', '7.1'],
        [{ tag: 'number', val: { whole: true } }, '-0.0', '0'],
        [{ tag: 'number', val: { whole: true } }, '9'.repeat(400), '9'.repeat(400)],
        [{ tag: 'day', val: {} }, '2026年6月1日', '2026-06-01'],
        [{ tag: 'choice', val: ['光明', '马田'] }, ' 马田 ', '马田'],
        [{ tag: 'choice', val: ['是（含租赁）', '否'] }, '是（含租赁）', '是（含租赁）'],
        [{ tag: 'choice', val: ['是（含租赁）', '否'] }, '是(含租赁)', '是（含租赁）'],
        [{ tag: 'text', val: { least: 2, most: 4, pattern: '[一-龥·]+' } }, '欧阳娜娜', '欧阳娜娜'],
    ]) {
        assert.deepEqual(one(kind, value), { problems: [], clean: [{ field: 'it', value: stored }] });
    }
});

test('what is wrong is said', () => {
    for (const [kind, value, en] of [
        [{ tag: 'mobile' }, '12800138000', 'It is not a mobile number.'],
        [{ tag: 'number', val: { whole: true } }, '1.5', 'It is not a whole number.'],
        [{ tag: 'number', val: { most: 3, whole: false } }, '4', 'It is more than 3.'],
        [{ tag: 'number', val: { most: 3, whole: true } }, '9'.repeat(400), 'It is more than 3.'],
        [{ tag: 'number', val: { whole: false } }, '.', 'It is not a number.'],
        [{ tag: 'number', val: { whole: false } }, '1e9', 'It is not a number.'],
        [{ tag: 'day', val: {} }, '2026-02-29', 'It is no day of the calendar.'],
        [{ tag: 'day', val: { last: '2026-01-01' } }, '2026/6/1', 'It is after 2026-01-01.'],
        [{ tag: 'choice', val: ['a', 'b'] }, 'c', 'It is none of a, b.'],
        [{ tag: 'text', val: { most: 2 } }, '一二三', 'It has more than 2 characters.'],
        [{ tag: 'text', val: { pattern: '\\d+' } }, '12a', 'It does not have the expected form.'],
    ]) {
        const { problems, clean } = one(kind, value);
        assert.deepEqual([problems.map((problem) => problem.words.en), clean], [[en], []], value);
    }
});

test('a field may be needed by the value of another', () => {
    const fields = [
        field({ tag: 'choice', val: ['yes', 'ｌｅｔ', 'no'] }, { tag: 'always' }, 'business'),
        field({ tag: 'text', val: {} }, { tag: 'when', val: { field: 'business', values: ['yes', 'ｌｅｔ'] } }, 'licence'),
    ];
    const problems = (entries) => check(fields, entries).problems.map((problem) => problem.field);
    assert.deepEqual(problems([]), ['business']);
    assert.deepEqual(problems([{ field: 'business', value: 'yes' }]), ['licence']);
    assert.deepEqual(problems([{ field: 'business', value: 'ｌｅｔ' }]), ['licence']);
    assert.deepEqual(problems([{ field: 'business', value: 'no' }, { field: 'x', value: '' }]), ['x']);
});

test('rules that make no sense are the fault of their author', () => {
    for (const fields of [
        [field({ tag: 'mobile' }), field({ tag: 'mobile' })],
        [field({ tag: 'text', val: { pattern: '(' } })],
        [field({ tag: 'number', val: { least: 2, most: 1, whole: false } })],
        [field({ tag: 'day', val: { first: 'June' } })],
        [field({ tag: 'choice', val: [] })],
        [field({ tag: 'mobile' }, { tag: 'when', val: { field: 'other', values: [] } })],
    ]) {
        assert.throws(() => check(fields, []), (error) => error instanceof Fault && error.field === 'it');
    }
});
