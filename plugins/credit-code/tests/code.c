// Codes that are right, and every way of being wrong.
#undef NDEBUG
#include "code.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static struct reading read(const char *text) {
    return code_read((const uint8_t *)text, strlen(text), CODE_LENGTH);
}

static void codes_are_read_as_people_type_them(void) {
    const char *texts[] = {"91350100M000100Y43", " 91350100-m000100y43 ", "９１３５０１００Ｍ０００１００ｙ４３"};
    for (size_t at = 0; at < sizeof texts / sizeof *texts; at++) {
        struct reading reading = read(texts[at]);
        assert(reading.fault == FAULT_NONE);
        assert(strcmp(reading.code, "91350100M000100Y43") == 0);
    }
    assert(code_authority('9') == 8);
}

static void every_fault_is_told_apart(void) {
    const struct {
        const char *text;
        enum fault fault;
    } cases[] = {
        {"", FAULT_LENGTH},
        {"91350100M000100Y433", FAULT_LENGTH},
        {"91350100M0001O0Y43", FAULT_CHARACTER},
        {"91350100M0001零0Y43", FAULT_CHARACTER},
        {"B1350100M000100Y43", FAULT_AUTHORITY},
        {"913501A0M000100Y43", FAULT_REGION},
        {"91350100M000101Y43", FAULT_ORGANISATION_CHECK},
        {"91350100M000100Y44", FAULT_CHECK},
        {"\xff\xff\xff", FAULT_LENGTH},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        struct reading reading = read(cases[at].text);
        if (reading.fault != cases[at].fault) {
            printf("%s: fault %d, expected %d\n", cases[at].text, reading.fault, cases[at].fault);
        }
        assert(reading.fault == cases[at].fault);
    }
}

static void the_place_of_a_misfit_is_told(void) {
    struct reading reading = read("9135-0100M0001零0Y43");
    assert(reading.misfit_at == 13 && reading.misfit_bytes == strlen("零"));
}

static void the_check_character_is_told(void) {
    struct reading reading = code_read((const uint8_t *)"91350100M000100Y4", 17, CODE_LENGTH - 1);
    assert(reading.fault == FAULT_NONE && reading.expected == '3');
}

int main(void) {
    codes_are_read_as_people_type_them();
    every_fault_is_told_apart();
    the_place_of_a_misfit_is_told();
    the_check_character_is_told();
    puts("4 passed, 0 failed");
    return 0;
}
