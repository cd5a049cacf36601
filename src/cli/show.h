/* What a document and its certificates say, for people and for programs. Says nothing about whether it is
 * true. */
#ifndef BB_CLI_SHOW_H
#define BB_CLI_SHOW_H

#include <jansson.h>

#include <blindbox/verify.h>

#define BB_CLI_TIME_MAX 48u

/* "2026-02-03T14:05:06.789Z" (RFC 3339). Returns out. */
const char *bb_cli_time_text(int64_t time_ms, char out[BB_CLI_TIME_MAX]);
/* A JSON string; "(not UTF-8)" for what is not. NULL stays null. */
json_t *bb_cli_json_text(const char *text);

/* Every field on standard output, two blanks before each line; absent ones are said to be absent. */
void bb_cli_document_print(const struct bb_document *document);
/* The same as an object. NULL when out of memory. */
json_t *bb_cli_document_to_json(const struct bb_document *document);

/* One certificate (DER), each line after `indent`. */
void bb_cli_certificate_print(const char *indent, const uint8_t *der, size_t len);
json_t *bb_cli_certificate_to_json(const uint8_t *der, size_t len);

#endif
