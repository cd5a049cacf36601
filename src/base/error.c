/* Names and sentences of the error codes in include/blindbox/error.h. */
#include <blindbox/error.h>

#include <stddef.h>

static const struct {
    const char *name;
    const char *sentence;
} errors[] = {
#define ROW(code, text) {#code, text},
    BB_ERR_LIST(ROW)
#undef ROW
};

const char *bb_err_name(enum bb_err err) {
    return (size_t)err < BB_ERR_COUNT ? errors[err].name : "BB_ERR_UNKNOWN";
}

const char *bb_err_sentence(enum bb_err err) {
    return (size_t)err < BB_ERR_COUNT ? errors[err].sentence : "unknown error code";
}
