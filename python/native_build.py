"""Builds `blindbox._native`, libblindbox for Python (cffi, API mode: the compiler checks each declaration below).

libblindbox is taken from, in this order: the build folder that BLINDBOX_BUILD names; `build` of the checkout that this
folder is in; pkg-config. Its static library is preferred, so that a wheel needs no libblindbox at run time.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import cffi

NEEDED = ["libcurl", "libssl", "libcrypto", "libcbor", "jansson"]  # what a static libblindbox links

DECLARATIONS = """
enum bb_err { BB_OK, BB_ERR_NO_MEMORY, BB_ERR_ARGUMENT, BB_ERR_TIMEOUT, BB_ERR_CANCELLED, BB_ERR_BUSY,
              BB_ERR_HTTP_STATUS, ... };
const char *bb_err_name(enum bb_err err);
const char *bb_err_sentence(enum bb_err err);
const char *bb_version(void);

struct bb_policy;
struct bb_policy *bb_policy_new(void);
void bb_policy_free(struct bb_policy *policy);
enum bb_err bb_policy_trust_aws(struct bb_policy *policy);
bool bb_policy_trusts_only_aws(const struct bb_policy *policy);
enum bb_err bb_policy_trust_root_pem(struct bb_policy *policy, const char *pem, size_t len);
enum bb_err bb_policy_load_measurements(struct bb_policy *policy, const char *json, size_t len);
enum bb_err bb_policy_expect_pcr(struct bb_policy *policy, unsigned index, const uint8_t *value);
const uint8_t *bb_policy_expected_pcr(const struct bb_policy *policy, unsigned index);
void bb_policy_set_max_age_ms(struct bb_policy *policy, int64_t max_age_ms);
void bb_policy_set_clock_skew_ms(struct bb_policy *policy, int64_t skew_ms);
void bb_policy_allow_debug(struct bb_policy *policy, bool allow);
#define BB_PCR_LEN ...
#define BB_PCR_COUNT ...
#define BB_POLICY_MAX_AGE_MS_DEFAULT ...
#define BB_POLICY_CLOCK_SKEW_MS_DEFAULT ...

struct bb_document;
void bb_document_free(struct bb_document *document);
const char *bb_document_module_id(const struct bb_document *document);
int64_t bb_document_timestamp_ms(const struct bb_document *document);
const uint8_t *bb_document_pcr(const struct bb_document *document, unsigned index);
const uint8_t *bb_document_public_key(const struct bb_document *document, size_t *len);
const uint8_t *bb_document_user_data(const struct bb_document *document, size_t *len);
const uint8_t *bb_document_nonce(const struct bb_document *document, size_t *len);
size_t bb_document_certificate_count(const struct bb_document *document);
const uint8_t *bb_document_certificate(const struct bb_document *document, size_t index, size_t *len);

struct bb_report;
struct bb_report *bb_report_new(void);
void bb_report_free(struct bb_report *report);
size_t bb_report_count(const struct bb_report *report);
const char *bb_report_name(const struct bb_report *report, size_t i);
enum bb_err bb_report_err(const struct bb_report *report, size_t i);
const char *bb_report_sentence(const struct bb_report *report, size_t i);
const char *bb_report_failure(const struct bb_report *report);

struct bb_expectation {
    const uint8_t *public_key;
    size_t public_key_len;
    const uint8_t *nonce;
    size_t nonce_len;
    const uint8_t *user_data;
    size_t user_data_len;
    ...;
};
enum bb_err bb_verify_document(const uint8_t *bytes, size_t len, const struct bb_policy *policy,
                               const struct bb_expectation *expectation, int64_t now_ms,
                               struct bb_report *report, struct bb_document **document);
enum bb_err bb_verify_certificate(const uint8_t *der, size_t len, const struct bb_policy *policy, int64_t now_ms,
                                  struct bb_report *report, struct bb_document **document);

struct bb_connection;
enum bb_err bb_connection_new(const char *address, const struct bb_policy *policy, struct bb_connection **connection);
void bb_connection_free(struct bb_connection *connection);
void bb_connection_set_connect_timeout_ms(struct bb_connection *connection, int64_t timeout_ms);
void bb_connection_set_request_timeout_ms(struct bb_connection *connection, int64_t timeout_ms);
enum bb_err bb_connection_attest(struct bb_connection *connection);
const char *bb_connection_address(const struct bb_connection *connection);
const char *bb_connection_error_text(const struct bb_connection *connection);
bool bb_connection_attestation_failed(const struct bb_connection *connection);
int bb_connection_http_status(const struct bb_connection *connection);
int64_t bb_connection_retry_after_s(const struct bb_connection *connection);
const struct bb_report *bb_connection_report(const struct bb_connection *connection);
const struct bb_document *bb_connection_document(const struct bb_connection *connection);
const uint8_t *bb_connection_evidence(const struct bb_connection *connection, size_t *len);
const uint8_t *bb_connection_certificate_der(const struct bb_connection *connection, size_t *len);
unsigned bb_connection_handshakes(const struct bb_connection *connection);

struct bb_audio {
    const uint8_t *bytes;
    uint64_t len;
    ...;
};
struct bb_transcribe_options {
    const char *model;
    const char *language;
    const char *prompt;
    double temperature;
    bool (*progress)(void *context, uint64_t sent, uint64_t total);
    void *progress_context;
    ...;
};
struct bb_transcript;
enum bb_err bb_transcribe(struct bb_connection *connection, const struct bb_audio *audio,
                          const struct bb_transcribe_options *options, struct bb_transcript **transcript);
const char *bb_transcript_text(const struct bb_transcript *transcript, size_t *len);
void bb_transcript_free(struct bb_transcript *transcript);
extern "Python" bool bb_python_progress(void *context, uint64_t sent, uint64_t total);

struct bb_tunnel;
enum bb_err bb_tunnel_new(const char *address, const struct bb_policy *policy, struct bb_tunnel **tunnel);
void bb_tunnel_free(struct bb_tunnel *tunnel);
void bb_tunnel_set_connect_timeout_ms(struct bb_tunnel *tunnel, int64_t timeout_ms);
enum bb_err bb_tunnel_open(struct bb_tunnel *tunnel, int *fd);
const char *bb_tunnel_address(const struct bb_tunnel *tunnel);
const char *bb_tunnel_error_text(const struct bb_tunnel *tunnel);
bool bb_tunnel_attestation_failed(const struct bb_tunnel *tunnel);
const struct bb_report *bb_tunnel_report(const struct bb_tunnel *tunnel);
const struct bb_document *bb_tunnel_document(const struct bb_tunnel *tunnel);
"""


def pkg_config(*args: str) -> list[str]:
    """What pkg-config prints, as words."""
    done = subprocess.run(["pkg-config", *args], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"pkg-config {' '.join(args)}: {done.stderr.strip()}")
    return shlex.split(done.stdout)


def linked_statically(library: Path, include: Path) -> dict[str, list[str]]:
    """Compiler and linker words for that static library; its symbols stay inside the extension."""
    flags = pkg_config("--libs", *NEEDED)
    return {
        "include_dirs": [str(include)],
        "extra_compile_args": pkg_config("--cflags", *NEEDED),
        "extra_objects": [str(library)],
        "extra_link_args": ["-Wl,--exclude-libs,ALL", *flags, "-pthread", "-lm"],
    }


def from_build_folder(folder: Path) -> dict[str, list[str]] | None:
    """The library of a meson build folder, or None when there is none."""
    library = folder / "src/client/libblindbox.a"
    about = folder / "meson-info/meson-info.json"
    if not (library.is_file() and about.is_file()):
        return None
    source = Path(json.loads(about.read_text())["directories"]["source"])
    return linked_statically(library.resolve(), source / "include")


def find_library() -> dict[str, list[str]]:
    """See the top of this file."""
    if named := os.environ.get("BLINDBOX_BUILD"):
        found = from_build_folder(Path(named))
        if found is None:
            raise SystemExit(f"BLINDBOX_BUILD: {named} holds no src/client/libblindbox.a")
        return found
    if found := from_build_folder(Path(__file__).resolve().parent.parent / "build"):
        return found
    if subprocess.run(["pkg-config", "--exists", "blindbox"], check=False).returncode != 0:
        raise SystemExit("libblindbox is not here: `make build` or `make install` first, or name a build folder "
                         "in BLINDBOX_BUILD")  # fmt: skip
    library = Path(pkg_config("--variable=libdir", "blindbox")[0]) / "libblindbox.a"
    if library.is_file():
        return linked_statically(library, Path(pkg_config("--variable=includedir", "blindbox")[0]))
    return {
        "extra_compile_args": pkg_config("--cflags", "blindbox"),
        "extra_link_args": pkg_config("--libs", "blindbox"),
    }


builder = cffi.FFI()
builder.cdef(DECLARATIONS)
builder.set_source(
    "blindbox._native",
    "#include <stdbool.h>\n#include <blindbox/blindbox.h>\n#include <blindbox/tunnel.h>\n",
    **find_library(),
)
