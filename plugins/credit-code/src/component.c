// The exports of the component: `code.h` in the types that are generated from `wit/world.wit`.

#include "code.h"
#include "component.h"

#include <stdlib.h>
#include <string.h>

typedef exports_credit_code_codes_fault_t fault_t;
typedef exports_credit_code_codes_parts_t parts_t;

// A copy, which the caller frees.
static void copy(component_string_t *to, const void *bytes, size_t length) {
    to->len = length;
    to->ptr = malloc(length);
    if (to->ptr == NULL) abort();
    memcpy(to->ptr, bytes, length);
}

static void mismatch(exports_credit_code_codes_mismatch_t *to, const struct reading *reading, size_t at) {
    copy(&to->expected, &reading->expected, 1);
    copy(&to->found, &reading->code[at], 1);
}

static void tell(fault_t *to, const struct reading *reading) {
    switch (reading->fault) {
    case FAULT_LENGTH:
        to->tag = EXPORTS_CREDIT_CODE_CODES_FAULT_LENGTH;
        to->val.length = reading->length;
        break;
    case FAULT_CHARACTER:
        to->tag = EXPORTS_CREDIT_CODE_CODES_FAULT_CHARACTER;
        to->val.character.at = reading->misfit_at;
        copy(&to->val.character.found, reading->misfit, reading->misfit_bytes);
        break;
    case FAULT_AUTHORITY:
        to->tag = EXPORTS_CREDIT_CODE_CODES_FAULT_AUTHORITY;
        copy(&to->val.authority, reading->code, 1);
        break;
    case FAULT_REGION:
        to->tag = EXPORTS_CREDIT_CODE_CODES_FAULT_REGION;
        copy(&to->val.region, reading->code + REGION_AT, REGION_LENGTH);
        break;
    case FAULT_ORGANISATION_CHECK:
        to->tag = EXPORTS_CREDIT_CODE_CODES_FAULT_ORGANISATION_CHECK;
        mismatch(&to->val.organisation_check, reading, ORGANISATION_AT + ORGANISATION_LENGTH - 1);
        break;
    case FAULT_CHECK:
        to->tag = EXPORTS_CREDIT_CODE_CODES_FAULT_CHECK;
        mismatch(&to->val.check, reading, CODE_LENGTH - 1);
        break;
    case FAULT_NONE:
        abort();
    }
}

bool exports_credit_code_codes_read(component_string_t *text, parts_t *parts, fault_t *fault) {
    struct reading reading = code_read(text->ptr, text->len, CODE_LENGTH);
    bool good = reading.fault == FAULT_NONE;
    if (good) {
        copy(&parts->code, reading.code, CODE_LENGTH);
        parts->authority = (exports_credit_code_codes_authority_t)code_authority(reading.code[0]);
        copy(&parts->kind, reading.code + 1, 1);
        copy(&parts->region, reading.code + REGION_AT, REGION_LENGTH);
        copy(&parts->organisation, reading.code + ORGANISATION_AT, ORGANISATION_LENGTH);
    } else {
        tell(fault, &reading);
    }
    component_string_free(text);
    return good;
}

bool exports_credit_code_codes_complete(component_string_t *seventeen, component_string_t *character, fault_t *fault) {
    struct reading reading = code_read(seventeen->ptr, seventeen->len, CODE_LENGTH - 1);
    bool good = reading.fault == FAULT_NONE;
    if (good) {
        copy(character, &reading.expected, 1);
    } else {
        tell(fault, &reading);
    }
    component_string_free(seventeen);
    return good;
}
