// What each kind of field takes. A reader is made from the kind's bounds, and throws if they make no sense; it turns a value into
// `{ text }`, the form to be stored, or `{ words }`, what is wrong with it.

const MOBILE = /^1[3-9]\d{9}$/;
const NUMBER = /^([+-]?)(?=\.?\d)(\d*)(?:\.(\d*))?$/;
const DAY = /^(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?$/;

export const readers = { text, number, day, choice, mobile };

/** Half-width, without space around it. The component's engine has no Unicode tables, hence no `normalize`. */
export function tidy(text) {
    return text.replace(/[\uff01-\uff5e]/g, (wide) => String.fromCharCode(wide.charCodeAt(0) - 0xfee0)).trim();
}

function text({ least, most, pattern }) {
    const shape = pattern === undefined ? undefined : new RegExp(`^(?:${pattern})$`, 'u');
    ordered(least, most);
    return (value, label) => {
        const length = [...value].length;
        if (least !== undefined && length < least) {
            return wrong(`${label.en} has fewer than ${least} characters.`, `${label.zh}少于${least}个字符。`);
        }
        if (most !== undefined && length > most) {
            return wrong(`${label.en} has more than ${most} characters.`, `${label.zh}超过${most}个字符。`);
        }
        if (shape && !shape.test(value)) return wrong(`${label.en} does not have the expected form.`, `${label.zh}格式不正确。`);
        return { text: value };
    };
}

function number({ least, most, whole }) {
    ordered(least, most);
    return (value, label) => {
        const decimal = readDecimal(value.replaceAll(',', ''));
        if (decimal === undefined) return wrong(`${label.en} is not a number.`, `${label.zh}不是数字。`);
        if (whole && decimal.includes('.')) return wrong(`${label.en} is not a whole number.`, `${label.zh}不是整数。`);
        const read = Number(decimal);
        if (least !== undefined && read < least) return wrong(`${label.en} is less than ${least}.`, `${label.zh}小于${least}。`);
        if (most !== undefined && read > most) return wrong(`${label.en} is more than ${most}.`, `${label.zh}大于${most}。`);
        return { text: decimal };
    };
}

/** The shortest text of a number, with every digit that counts; undefined for what is none. */
function readDecimal(text) {
    const [, sign, whole, fraction = ''] = NUMBER.exec(text) ?? [];
    if (whole === undefined) return undefined;
    let end = fraction.length;
    while (fraction[end - 1] === '0') end -= 1;
    const point = end > 0 ? `.${fraction.slice(0, end)}` : '';
    const unsigned = (whole.replace(/^0+/, '') || '0') + point;
    return sign === '-' && unsigned !== '0' ? `-${unsigned}` : unsigned;
}

function day({ first, last }) {
    const bound = (text) => {
        if (text !== undefined && readDay(text) !== text) throw new Error(`${text} is no day as 2026-06-01`);
        return text;
    };
    ordered(bound(first), bound(last));
    return (value, label) => {
        const read = readDay(value);
        if (read === undefined) return wrong(`${label.en} is no day of the calendar.`, `${label.zh}不是有效日期。`);
        if (first !== undefined && read < first) return wrong(`${label.en} is before ${first}.`, `${label.zh}早于${first}。`);
        if (last !== undefined && read > last) return wrong(`${label.en} is after ${last}.`, `${label.zh}晚于${last}。`);
        return { text: read };
    };
}

/** `2026-06-01` for a day in one of the usual forms; undefined for what is none. */
function readDay(text) {
    const [, year, month, dayOfMonth] = DAY.exec(text) ?? [];
    if (year === undefined) return undefined;
    const iso = `${year}-${month.padStart(2, '0')}-${dayOfMonth.padStart(2, '0')}`;
    const read = new Date(`${iso}T00:00:00Z`);
    return !Number.isNaN(read.getTime()) && read.toISOString().startsWith(iso) ? iso : undefined;
}

function choice(values) {
    if (values.length === 0) throw new Error('there is nothing to choose from');
    const known = new Map(values.map((value) => [tidy(value), value]));
    return (value, label) => {
        if (known.has(value)) return { text: known.get(value) };
        const list = values.join(', ');
        return wrong(`${label.en} is none of ${list}.`, `${label.zh}应为以下之一：${values.join('、')}。`);
    };
}

function mobile() {
    return (value, label) => {
        const plain = value.replace(/[\s-]/g, '').replace(/^(\+|00)?86(?=1\d{10}$)/, '');
        return MOBILE.test(plain) ? { text: plain } : wrong(`${label.en} is not a mobile number.`, `${label.zh}不是有效的手机号码。`);
    };
}

function ordered(least, most) {
    if (least !== undefined && most !== undefined && least > most) throw new Error(`${least} is above ${most}`);
}

function wrong(en, zh) {
    return { words: { en, zh } };
}
