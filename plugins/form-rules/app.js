// The exports of the component, in the types of `wit/world.wit`.

import { check, Fault } from './check.js';

export const rules = {
    check(fields, entries) {
        try {
            return check(fields, entries);
        } catch (error) {
            // The error case of the function's result is what is thrown.
            throw error instanceof Fault ? { field: error.field, reason: error.message } : error;
        }
    },
};
