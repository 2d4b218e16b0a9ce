#include "code.h"

#include <stdbool.h>
#include <string.h>

static const char CHARACTERS[] = "0123456789ABCDEFGHJKLMNPQRTUWXY";
static const char AUTHORITIES[] = "123456789ANY";
static const char ORGANISATION_CHARACTERS[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const int WEIGHTS[CODE_LENGTH - 1] = {1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28};
static const int ORGANISATION_WEIGHTS[ORGANISATION_LENGTH - 1] = {3, 7, 9, 10, 5, 8, 4, 2};

static int place(const char *characters, char character) {
    const char *found = character == '\0' ? NULL : strchr(characters, character);
    return found == NULL ? -1 : (int)(found - characters);
}

static char check_character(const char *code) {
    int sum = 0;
    for (int at = 0; at < CODE_LENGTH - 1; at++) sum += WEIGHTS[at] * place(CHARACTERS, code[at]);
    return CHARACTERS[(31 - sum % 31) % 31];
}

static char organisation_check_character(const char *organisation) {
    int sum = 0;
    for (int at = 0; at < ORGANISATION_LENGTH - 1; at++) {
        sum += ORGANISATION_WEIGHTS[at] * place(ORGANISATION_CHARACTERS, organisation[at]);
    }
    return "0123456789X0"[11 - sum % 11];
}

// Length in bytes of the UTF-8 character that starts there.
static size_t character_bytes(uint8_t first) {
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

// The code's character for one of the text; '\0' for what no code has, ' ' for what does not count.
static char half_width_capital(const uint8_t *text, size_t bytes) {
    uint32_t character = text[0];
    if (bytes == 3) character = (uint32_t)(text[0] & 0x0f) << 12 | (uint32_t)(text[1] & 0x3f) << 6 | (text[2] & 0x3f);
    if (character >= 0xff01 && character <= 0xff5e) character -= 0xfee0;
    if (character == 0x3000 || (character >= 0x2010 && character <= 0x2015)) character = ' ';
    if (character == '-' || character == '\t' || character == '\r' || character == '\n') character = ' ';
    if (character >= 'a' && character <= 'z') character -= 'a' - 'A';
    bool known = character == ' ' || (character < 0x80 && place(CHARACTERS, (char)character) >= 0);
    return known ? (char)character : '\0';
}

static void collect(struct reading *reading, const uint8_t *text, size_t bytes) {
    for (size_t at = 0, step; at < bytes; at += step) {
        step = character_bytes(text[at]);
        if (step > bytes - at) step = bytes - at;
        char character = half_width_capital(text + at, step);
        if (character == ' ') continue;
        if (character == '\0' && reading->misfit == NULL) {
            reading->misfit = text + at;
            reading->misfit_bytes = step;
            reading->misfit_at = reading->length;
        }
        if (reading->length < CODE_LENGTH) reading->code[reading->length] = character;
        reading->length++;
    }
}

static enum fault fault_of(struct reading *reading, uint32_t length) {
    const char *code = reading->code;
    if (reading->length != length) return FAULT_LENGTH;
    if (reading->misfit != NULL) return FAULT_CHARACTER;
    if (code_authority(code[0]) < 0) return FAULT_AUTHORITY;
    for (int at = REGION_AT; at < REGION_AT + REGION_LENGTH; at++) {
        if (code[at] < '0' || code[at] > '9') return FAULT_REGION;
    }
    reading->expected = organisation_check_character(code + ORGANISATION_AT);
    if (code[ORGANISATION_AT + ORGANISATION_LENGTH - 1] != reading->expected) return FAULT_ORGANISATION_CHECK;
    reading->expected = check_character(code);
    bool checked = length == CODE_LENGTH;
    return checked && code[CODE_LENGTH - 1] != reading->expected ? FAULT_CHECK : FAULT_NONE;
}

struct reading code_read(const uint8_t *text, size_t bytes, uint32_t length) {
    struct reading reading = {0};
    collect(&reading, text, bytes);
    reading.fault = fault_of(&reading, length);
    return reading;
}

int code_authority(char first) {
    return place(AUTHORITIES, first);
}
