/* See field_value.h. */
#include "enclave/gate/field_value.h"

#include <string.h>

static uint8_t lower(uint8_t byte) {
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

bool bb_field_equal(struct bb_view a, const char *lower_case) {
    if (a.len != strlen(lower_case))
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.data[i]) != (uint8_t)lower_case[i])
            return false;
    return true;
}

static bool is_space(uint8_t byte) {
    return byte == ' ' || byte == '\t';
}

struct bb_view bb_field_trim(struct bb_view text) {
    while (text.len > 0 && is_space(text.data[0]))
        text = bb_view(text.data + 1, text.len - 1);
    while (text.len > 0 && is_space(text.data[text.len - 1]))
        text.len--;
    return text;
}

/* Takes bytes up to, not including, the first one that stop names. */
static struct bb_view take_until(struct bb_view *text, const char *stop) {
    size_t len = 0;
    while (len < text->len && strchr(stop, text->data[len]) == NULL)
        len++;
    struct bb_view taken = bb_view(text->data, len);
    *text = bb_view(text->data + len, text->len - len);
    return taken;
}

static bool take_byte(struct bb_view *text, uint8_t byte) {
    if (text->len == 0 || text->data[0] != byte)
        return false;
    *text = bb_view(text->data + 1, text->len - 1);
    return true;
}

struct bb_view bb_field_main(struct bb_view value) {
    return bb_field_trim(take_until(&value, ";"));
}

struct text {
    char *to;
    size_t len;
    size_t max;
    bool too_long;
};

static void text_add(struct text *text, uint8_t byte) {
    if (text->to == NULL)
        return;
    if (text->len == text->max)
        text->too_long = true;
    else
        text->to[text->len++] = (char)byte;
}

/* A quoted-string after its first quotation mark. Backslashes escape quotation marks and backslashes only:
 * some clients send file names with plain ones. */
static enum bb_err take_quoted(struct bb_view *text, struct text *out) {
    while (text->len > 0) {
        uint8_t byte = text->data[0];
        *text = bb_view(text->data + 1, text->len - 1);
        if (byte == '"')
            return BB_OK;
        if (byte == '\\' && text->len > 0 && (text->data[0] == '"' || text->data[0] == '\\')) {
            byte = text->data[0];
            *text = bb_view(text->data + 1, text->len - 1);
        }
        text_add(out, byte);
    }
    return BB_ERR_PROTOCOL;
}

static enum bb_err take_value(struct bb_view *text, struct text *out) {
    if (take_byte(text, '"'))
        return take_quoted(text, out);
    struct bb_view token = take_until(text, "; \t\"");
    if (token.len == 0)
        return BB_ERR_PROTOCOL;
    for (size_t i = 0; i < token.len; i++)
        text_add(out, token.data[i]);
    return BB_OK;
}

enum bb_err bb_field_parameter(struct bb_view value, const char *name, char *out, size_t max) {
    bool found = false;
    (void)take_until(&value, ";");
    while (value.len > 0) {
        if (!take_byte(&value, ';'))
            return BB_ERR_PROTOCOL;
        value = bb_field_trim(value);
        if (value.len == 0 || value.data[0] == ';')
            continue;
        struct bb_view key = take_until(&value, "=;");
        if (!take_byte(&value, '='))
            return BB_ERR_PROTOCOL;
        bool wanted = bb_field_equal(bb_field_trim(key), name);
        if (wanted && found)
            return BB_ERR_PROTOCOL;
        value = bb_field_trim(value);
        struct text text = {.to = wanted ? out : NULL, .max = max};
        enum bb_err err = take_value(&value, &text);
        if (err != BB_OK || text.too_long)
            return err != BB_OK ? err : BB_ERR_TOO_LARGE;
        if (wanted) {
            out[text.len] = '\0';
            found = true;
        }
        value = bb_field_trim(value);
    }
    return found ? BB_OK : BB_ERR_NOT_FOUND;
}
