/*
 * `blindbox connect`: an attested way into an enclave for every program that speaks HTTP. Listens on this
 * machine, in the clear, and carries each connection through a tunnel whose enclave has been judged before a
 * byte of the client leaves. Trusts whoever can reach its socket, and is therefore not reachable from other
 * machines unless --expose says so. Neither reads nor keeps what passes.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/endpoint.h"
#include "base/fd.h"
#include "cli/connect_client.h"
#include "cli/enclave.h"
#include "cli/serve.h"
#include "cli/text.h"
#include "cli/verbs.h"

#define LISTEN_DEFAULT "127.0.0.1:8080"
#define CLIENTS_MAX    256u /* connections at once; further ones get 503 */
#define SURPLUS_MAX    32u  /* that are being told so; still further ones are closed at once */
#define BACKLOG        128
#define STOP_MS        2000         /* for clients to end after Ctrl-C */
#define STACK_BYTES    (512 * 1024) /* of a client's thread */

static const char usage[] =
    "Usage: blindbox connect [ADDRESS] [OPTION…]\n"
    "\n"
    "Listens for plain HTTP on this machine and carries every connection to the enclave at ADDRESS (HOST,\n"
    "HOST:PORT, [IPV6]:PORT; port 443 unless named), whose attestation is verified before a byte leaves.\n"
    "When it fails, clients get the answer 502 with the reason. Without ADDRESS: the enclave that\n"
    "`blindbox up` started.\n"
    "\n"
    "  --listen ADDRESS     where to listen: HOST:PORT or unix:PATH (default " LISTEN_DEFAULT ")\n"
    "  --expose             allow other addresses than loopback: whoever reaches them can use the enclave, "
    "and\n"
    "                       reads and changes what passes on the way here\n" BB_CLI_ENCLAVE_HELP
    "  --help               this text\n"
    "\n"
    "Example: curl http://127.0.0.1:8080/v1/models\n"
    "Exit status: 0 ended by Ctrl-C or SIGTERM, 1 it cannot listen, 2 wrong usage.\n";

struct options {
    struct bb_cli_enclave_options enclave;
    const char *listen;
    bool expose;
    bool help;
};

static const struct option long_options[] = {
    BB_CLI_ENCLAVE_LONG_OPTIONS,
    {"listen", required_argument, NULL, 'l'},
    {"expose", no_argument, NULL, 'e'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* A client that is being served; fd -1: the slot is free. */
struct slot {
    struct server *server;
    int fd;
    bool surplus;
};

struct server {
    struct bb_connect_pool *pool;
    int listener;
    int signals;
    pthread_mutex_t lock; /* of the slots */
    struct slot slots[CLIENTS_MAX + SURPLUS_MAX];
    unsigned busy;
};

static int read_options(int argc, char **argv, struct options *options) {
    int letter;
    options->listen = LISTEN_DEFAULT;
    while ((letter = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (letter == 'l')
            options->listen = optarg;
        else if (letter == 'e')
            options->expose = true;
        else if (letter == 'h')
            options->help = true;
        else if (!bb_cli_enclave_option("connect", letter, optarg, &options->enclave))
            return BB_CLI_USAGE;
    }
    if (argc - optind > 1)
        return bb_cli_usage("connect", "one address at a time");
    options->enclave.address = optind < argc ? argv[optind] : NULL;
    return BB_CLI_GOOD;
}

static void leave(struct slot *slot) {
    struct server *server = slot->server;
    pthread_mutex_lock(&server->lock);
    bb_fd_close(&slot->fd);
    server->busy--;
    pthread_mutex_unlock(&server->lock);
}

static const char surplus[] = "blindbox connect carries at most 256 connections at once";
_Static_assert(CLIENTS_MAX == 256, "the sentence above names the limit");

static void *serve_client(void *pointer) {
    struct slot *slot = pointer;
    if (slot->surplus)
        bb_connect_refuse(slot->fd, "503 Service Unavailable", "connection_error", "BB_ERR_BUSY", surplus);
    else
        bb_connect_serve(slot->server->pool, slot->fd);
    leave(slot);
    return NULL;
}

static struct slot *enter(struct server *server, int fd) {
    struct slot *found = NULL;
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < CLIENTS_MAX + SURPLUS_MAX && found == NULL; i++)
        if (server->slots[i].fd < 0)
            found = &server->slots[i];
    if (found != NULL) {
        *found = (struct slot){.server = server, .fd = fd, .surplus = server->busy >= CLIENTS_MAX};
        server->busy++;
    }
    pthread_mutex_unlock(&server->lock);
    return found;
}

static bool start_thread(struct slot *slot) {
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    bool started = pthread_create(&thread, &attributes, serve_client, slot) == 0;
    pthread_attr_destroy(&attributes);
    return started;
}

static void accept_client(struct server *server) {
    int fd BB_CLEANUP_FD = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int one = 1;
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
            (void)poll(NULL, 0, 100); /* until somebody leaves */
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* fails on Unix sockets */
    struct slot *slot = enter(server, fd);
    if (slot == NULL)
        return;
    (void)bb_fd_take(&fd);
    if (!start_thread(slot))
        leave(slot);
}

static void run(struct server *server) {
    struct pollfd entries[] = {{.fd = server->listener, .events = POLLIN},
                               {.fd = server->signals, .events = POLLIN}};
    while (entries[1].revents == 0) {
        if (poll(entries, 2, -1) < 0 && errno != EINTR)
            return;
        if (entries[0].revents != 0)
            accept_client(server);
    }
}

/* Ends every client's connection and waits for the threads a little. */
static bool end_clients(struct server *server) {
    int64_t until_ms = bb_clock_monotonic_ms() + STOP_MS;
    for (;;) {
        pthread_mutex_lock(&server->lock);
        unsigned busy = server->busy;
        for (size_t i = 0; i < CLIENTS_MAX + SURPLUS_MAX; i++)
            if (server->slots[i].fd >= 0)
                (void)shutdown(server->slots[i].fd, SHUT_RDWR);
        pthread_mutex_unlock(&server->lock);
        if (busy == 0 || bb_clock_monotonic_ms() > until_ms)
            return busy == 0;
        (void)poll(NULL, 0, 10);
    }
}

static bool is_loopback(int fd) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return false;
    if (address.ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)&address)->sin_addr.s_addr) >> 24 == 127;
    if (address.ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&address)->sin6_addr);
    return address.ss_family == AF_UNIX;
}

static int open_listener(const struct options *options, struct bb_endpoint *where, int *fd) {
    bool is_unix = strncmp(options->listen, "unix:", 5) == 0;
    enum bb_err err = is_unix ? bb_endpoint_parse(options->listen, where)
                              : bb_endpoint_parse_tcp(options->listen, NULL, where);
    if (err != BB_OK)
        return bb_cli_usage("connect", "--listen %s: not of the form HOST:PORT or unix:PATH",
                            options->listen);
    err = is_unix ? bb_cli_listen_privately(where, fd) : bb_endpoint_listen(where, BACKLOG, fd);
    if (err != BB_OK)
        return bb_cli_fail("cannot listen on %s: %s", options->listen,
                           err == BB_ERR_IO ? strerror(errno) : bb_err_sentence(err));
    if (options->expose || is_loopback(*fd))
        return BB_CLI_GOOD;
    bb_fd_close(fd);
    return bb_cli_usage("connect",
                        "--listen %s: other machines could reach it, in the clear; --expose allows that",
                        options->listen);
}

/* In every thread: only the descriptor hears of them. */
static int take_signals(void) {
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    if (pthread_sigmask(SIG_BLOCK, &wanted, NULL) != 0)
        return -1;
    return signalfd(-1, &wanted, SFD_CLOEXEC);
}

static void announce(const struct bb_endpoint *where, int fd, const struct bb_cli_enclave *enclave) {
    char address[128] = "";
    if (enclave->simulated)
        puts(BB_CLI_SIMULATED);
    if (where->kind == BB_ENDPOINT_UNIX)
        printf("listening on unix:%s", where->host);
    else if (bb_endpoint_bound_address(fd, address, sizeof address) == BB_OK)
        printf("listening on http://%s", address);
    printf(" for the enclave at %s\n", bb_connection_address(enclave->connection));
    fflush(stdout);
}

/* Whoever starts this learns at once what requests would learn later; it goes on, as enclaves come and go. */
static void try_once(struct bb_connect_pool *pool) {
    struct bb_tunnel *tunnel;
    enum bb_err err = bb_connect_pool_take(pool, &tunnel);
    if (err != BB_OK)
        bb_cli_fail("%s; requests get 502 until this changes",
                    tunnel != NULL ? bb_tunnel_error_text(tunnel) : bb_err_sentence(err));
    bb_tunnel_free(tunnel);
}

static int serve(const struct bb_cli_enclave *enclave, const struct bb_endpoint *where, int listener) {
    static struct server server = {.lock = PTHREAD_MUTEX_INITIALIZER};
    int signals BB_CLEANUP_FD = take_signals();
    for (size_t i = 0; i < CLIENTS_MAX + SURPLUS_MAX; i++)
        server.slots[i].fd = -1;
    server.listener = listener;
    server.signals = signals;
    server.pool = bb_connect_pool_new(bb_connection_address(enclave->connection), enclave->policy);
    if (signals < 0 || server.pool == NULL)
        return bb_cli_fail("out of memory");
    announce(where, listener, enclave);
    try_once(server.pool);
    run(&server);
    if (where->kind == BB_ENDPOINT_UNIX)
        (void)unlink(where->host);
    if (!end_clients(&server))
        _exit(BB_CLI_GOOD); /* their threads still use the pool */
    bb_connect_pool_free(server.pool);
    return BB_CLI_GOOD;
}

int bb_cli_connect(int argc, char **argv) {
    struct options options = {0};
    int status = read_options(argc, argv, &options);
    if (status != BB_CLI_GOOD)
        return status;
    if (options.help) {
        fputs(usage, stdout);
        return BB_CLI_GOOD;
    }
    struct bb_cli_enclave enclave __attribute__((cleanup(bb_cli_enclave_close))) = {0};
    struct bb_endpoint where;
    int listener BB_CLEANUP_FD = -1;
    status = bb_cli_enclave_open("connect", &options.enclave, &enclave);
    if (status == BB_CLI_GOOD)
        status = open_listener(&options, &where, &listener);
    return status == BB_CLI_GOOD ? serve(&enclave, &where, listener) : status;
}
