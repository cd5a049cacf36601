/*
 * A form with one file and a few small fields, read as it comes: the file goes straight into a memory file
 * that is sealed at the end, fields are bounded by form_field_bytes, fields that nobody asked for are passed
 * over.
 */
#ifndef BB_GATE_FORM_H
#define BB_GATE_FORM_H

#include "enclave/gate/fault.h"
#include "enclave/gate/multipart.h"
#include "enclave/limits.h"

#define BB_FORM_FIELDS_MAX 8u

struct bb_form_field {
    const char *name;
    bool present;
    struct bb_buf value;
};

struct bb_form {
    struct bb_multipart parser;
    const struct bb_limits *limits;
    uint64_t *memory_used; /* of all forms together */
    const char *file_name; /* the field that carries the file */
    int file_fd;           /* -1 before the file has come */
    uint64_t file_len;
    uint64_t file_counted; /* of *memory_used */
    bool in_file;
    struct bb_form_field *in_field;
    struct bb_form_field fields[BB_FORM_FIELDS_MAX];
    size_t field_count;
    struct bb_fault fault;
};

/*
 * Prepares for a body of this Content-Type. names: the other fields, NULL-terminated. False: form->fault says
 * why.
 */
bool bb_form_init(struct bb_form *form, struct bb_view content_type, const char *file_name,
                  const char *const *names, const struct bb_limits *limits, uint64_t *memory_used);
void bb_form_done(struct bb_form *form);
bool bb_form_feed(struct bb_form *form, struct bb_view bytes);
/* The body is complete; true when the file is there, and sealed. */
bool bb_form_finish(struct bb_form *form);
/* The field's value, or NULL when it was not sent. */
const struct bb_buf *bb_form_value(const struct bb_form *form, const char *name);

#endif
