// Unified social credit codes as GB 32100 defines them, and the organisation codes of GB 11714 inside them.
#ifndef CODE_H
#define CODE_H

#include <stddef.h>
#include <stdint.h>

enum { CODE_LENGTH = 18, ORGANISATION_AT = 8, ORGANISATION_LENGTH = 9, REGION_AT = 2, REGION_LENGTH = 6 };

enum fault { FAULT_NONE, FAULT_LENGTH, FAULT_CHARACTER, FAULT_AUTHORITY, FAULT_REGION, FAULT_ORGANISATION_CHECK, FAULT_CHECK };

// A text without spaces and dashes, in half-width capitals, as far as it could be read.
struct reading {
    enum fault fault;
    // The characters that a code may have; those after the 18th are not kept.
    char code[CODE_LENGTH + 1];
    // All characters.
    uint32_t length;
    // Of the first character that no code has: its place, and its bytes in the text.
    uint32_t misfit_at;
    const uint8_t *misfit;
    size_t misfit_bytes;
    // The check character that would fit.
    char expected;
};

// Reads `bytes` of UTF-8 as a code of `length` characters: 18, or 17 without its check character.
struct reading code_read(const uint8_t *text, size_t bytes, uint32_t length);

// Place of the code's authority in the interface's list; -1 for none.
int code_authority(char first);

#endif
