/* See form.h. */
#include "enclave/gate/form.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

static enum bb_err fail(struct bb_form *form, enum bb_err err, int status, const char *sentence) {
    bb_fault_set(&form->fault, status, "%s", sentence);
    return err;
}

static enum bb_err begin_file(struct bb_form *form) {
    if (form->file_fd >= 0) {
        bb_fault_set(&form->fault, 400, "The form has the file field %s twice", form->file_name);
        form->fault.param = form->file_name;
        return BB_ERR_PROTOCOL;
    }
    form->in_file = true;
    if (bb_memfd_new("blindbox-upload", &form->file_fd) != BB_OK)
        return fail(form, BB_ERR_NO_MEMORY, 503, "There is no memory for another upload just now; try again");
    return BB_OK;
}

static enum bb_err on_part(void *arg, struct bb_view name) {
    struct bb_form *form = arg;
    if (bb_view_equal(name, bb_view_str(form->file_name)))
        return begin_file(form);
    for (size_t i = 0; i < form->field_count; i++) {
        struct bb_form_field *field = &form->fields[i];
        if (!bb_view_equal(name, bb_view_str(field->name)))
            continue;
        if (field->present) {
            bb_fault_set(&form->fault, 400, "The form has the field %s twice", field->name);
            form->fault.param = field->name;
            return BB_ERR_PROTOCOL;
        }
        field->present = true;
        form->in_field = field;
    }
    return BB_OK;
}

static enum bb_err write_file(struct bb_form *form, struct bb_view bytes) {
    if (*form->memory_used + bytes.len > form->limits->memory_bytes) {
        bb_fault_set(&form->fault, 503,
                     "Uploads fill the memory that they may have: the limit memory_bytes (%" PRIu64
                     ") is reached",
                     form->limits->memory_bytes);
        form->fault.retry_after_s = 5;
        return BB_ERR_TOO_LARGE;
    }
    *form->memory_used += bytes.len;
    form->file_counted += bytes.len;
    form->file_len += bytes.len;
    while (bytes.len > 0) {
        ssize_t n = write(form->file_fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            form->fault.retry_after_s = 5;
            return fail(form, BB_ERR_NO_MEMORY, 503,
                        "There is no memory for this upload just now; try again");
        }
        bytes = bb_view(bytes.data + n, bytes.len - (size_t)n);
    }
    return BB_OK;
}

static enum bb_err on_data(void *arg, struct bb_view bytes) {
    struct bb_form *form = arg;
    if (form->in_file)
        return write_file(form, bytes);
    if (form->in_field == NULL || bb_buf_append(&form->in_field->value, bytes.data, bytes.len) == BB_OK)
        return BB_OK;
    bb_fault_set(&form->fault, 413, "The form field %s exceeds the limit form_field_bytes (%" PRIu64 ")",
                 form->in_field->name, form->limits->form_field_bytes);
    form->fault.param = form->in_field->name;
    return BB_ERR_TOO_LARGE;
}

static enum bb_err on_end(void *arg) {
    struct bb_form *form = arg;
    form->in_file = false;
    form->in_field = NULL;
    return BB_OK;
}

static const struct bb_multipart_events events = {.part = on_part, .data = on_data, .end = on_end};

/* The sentence for a Content-Type that is no good. */
static void content_type_fault(struct bb_fault *fault, enum bb_err err) {
    if (err == BB_ERR_UNSUPPORTED)
        bb_fault_set(fault, 415, "The body must be multipart/form-data");
    else if (err == BB_ERR_NOT_FOUND)
        bb_fault_set(fault, 400, "The Content-Type has no boundary");
    else if (err == BB_ERR_TOO_LARGE)
        bb_fault_set(fault, 400, "The boundary is longer than %u characters", BB_MULTIPART_BOUNDARY_MAX);
    else
        bb_fault_set(fault, 400, "The boundary is not a legal one");
}

bool bb_form_init(struct bb_form *form, struct bb_view content_type, const char *file_name,
                  const char *const *names, const struct bb_limits *limits, uint64_t *memory_used) {
    *form =
        (struct bb_form){.limits = limits, .memory_used = memory_used, .file_name = file_name, .file_fd = -1};
    for (; *names != NULL && form->field_count < BB_FORM_FIELDS_MAX; names++)
        form->fields[form->field_count++] =
            (struct bb_form_field){.name = *names, .value = BB_BUF_INIT(limits->form_field_bytes)};
    char boundary[BB_MULTIPART_BOUNDARY_MAX + 1];
    enum bb_err err = bb_multipart_boundary(content_type, boundary);
    if (err != BB_OK) {
        content_type_fault(&form->fault, err);
        return false;
    }
    bb_multipart_init(&form->parser, boundary, &events, form);
    return true;
}

void bb_form_done(struct bb_form *form) {
    *form->memory_used -= form->file_counted;
    form->file_counted = 0;
    bb_multipart_done(&form->parser);
    bb_fd_close(&form->file_fd);
    for (size_t i = 0; i < form->field_count; i++)
        bb_buf_done(&form->fields[i].value);
}

/* A refusal by the parser itself, which set no fault. */
static bool check(struct bb_form *form, enum bb_err err) {
    if (err == BB_OK)
        return true;
    if (form->fault.status == 0)
        bb_fault_set(&form->fault, 400, "%s",
                     form->parser.reason != NULL ? form->parser.reason : "The form is malformed");
    return false;
}

bool bb_form_feed(struct bb_form *form, struct bb_view bytes) {
    return check(form, bb_multipart_feed(&form->parser, bytes));
}

bool bb_form_finish(struct bb_form *form) {
    if (!check(form, bb_multipart_finish(&form->parser)))
        return false;
    if (form->file_fd < 0) {
        bb_fault_set(&form->fault, 400, "The form has no file in the field %s", form->file_name);
        form->fault.param = form->file_name;
        return false;
    }
    return check(form, bb_memfd_seal(form->file_fd));
}

const struct bb_buf *bb_form_value(const struct bb_form *form, const char *name) {
    for (size_t i = 0; i < form->field_count; i++)
        if (strcmp(form->fields[i].name, name) == 0)
            return form->fields[i].present ? &form->fields[i].value : NULL;
    return NULL;
}
