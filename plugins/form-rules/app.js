// The exports of the component, in the types of `wit/world.wit`.

import { check, Fault } from './check.js';

export const rules = {
    check(fields, entries) {
        try {
            return check(fields, entries);
        } catch (error) {
            // The error case of the function's result is what is thrown.
            if (error instanceof Fault) throw { field: error.field, reason: error.message };
            // Anything else is a mistake in here: the log says where, and the call traps.
            console.error(`${error}\n${error.stack}`);
            throw error;
        }
    },
};
