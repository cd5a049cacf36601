/*
 * Tests of libblindbox.so as other programs see it: compiled with the public headers alone, linked with
 * nothing else, exporting the functions that the headers declare and none of those behind them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <blindbox/blindbox.h>
#include <dlfcn.h>

static void the_library_stands_alone(void **state) {
    (void)state;
    assert_string_equal(bb_version(), BB_VERSION);
    assert_string_equal(bb_err_name(BB_ERR_PCR_MISMATCH), "BB_ERR_PCR_MISMATCH");
    struct bb_policy *policy = bb_policy_new();
    struct bb_connection *connection = NULL;
    assert_non_null(policy);
    assert_false(bb_policy_trusts_only_aws(policy));
    assert_int_equal(bb_policy_trust_aws(policy), BB_OK);
    assert_true(bb_policy_trusts_only_aws(policy));
    assert_int_equal(bb_connection_new("https://user@host", policy, &connection), BB_ERR_ARGUMENT);
    assert_int_equal(bb_connection_new("127.0.0.1:1", policy, &connection), BB_OK);
    assert_int_equal(bb_connection_attest(connection), BB_ERR_CONNECT);
    bb_connection_free(connection);
    bb_policy_free(policy);
}

static void only_the_interface_is_exported(void **state) {
    (void)state;
    void *library = dlopen("libblindbox.so.0", RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(library);
    static const char *const inside[] = {"bb_buf_append",         "bb_cert_parse",   "bb_cbor_read_fields",
                                         "bb_tls_client_prepare", "bb_client_judge", "bb_report_add",
                                         "bb_events_feed"};
    static const char *const outside[] = {"bb_transcribe",   "bb_verify_certificate", "bb_policy_new",
                                          "bb_err_sentence", "bb_complete",           "bb_chat"};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        assert_null(dlsym(library, inside[i]));
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        assert_non_null(dlsym(library, outside[i]));
    dlclose(library);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_stands_alone),
        cmocka_unit_test(only_the_interface_is_exported),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
