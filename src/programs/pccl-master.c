/* pccl-master: admits peers and decides outcomes; a shell around the public master calls. */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <ccoip.h>
#include <pccl/diagnostics.h>
#include <pccl/security.h>

#include "base/fail.h"
#include "base/log.h"
#include "transport/address.h"

static const char usage[] =
	"usage: pccl-master [--listen HOST:PORT] [--security MODE] [--secret-file FILE] [--key FILE]\n"
	"                   [--allow FILE] [--log-level LEVEL]\n"
	"       pccl-master --generate-secret\n"
	"       pccl-master --show-key FILE\n"
	"\n"
	"The master that peers register with. It keeps no state on disk: after a restart it rebuilds its groups from\n"
	"the peers that come back. A second one elsewhere is a standby: list both in PCCL_MASTERS of the peers. The\n"
	"first of that list founds groups: while it is down, running groups go on at the second, and newcomers join\n"
	"them there, but no new group begins. Give all peers the same list, in the same order.\n"
	"\n"
	"  --listen HOST:PORT   where to listen (default [::]:48148: every address of this machine, IPv4 and IPv6)\n"
	"  --generate-secret    print a new join secret for all peers and masters of a run, and end\n"
	"  --security MODE      none, psk (a join secret), tls (certificates); default: what PCCL_SECRET_FILE and the\n"
	"                       other variables of pccl/security.h give; without any, peers of this host only\n"
	"  --secret-file FILE   holds the join secret, as PCCL_SECRET_FILE\n"
	"  --key FILE           holds the master's own key, for PCCL_MASTER_KEYS of its peers; made on first use; as\n"
	"                       PCCL_IDENTITY_FILE\n"
	"  --allow FILE         who may join, of those who have the secret or a certificate: a line for each, key KEY "
	"or\n"
	"                       name NAME (in its certificate), perhaps with \" groups 0,3-5\"; as PCCL_ALLOW_FILE.\n"
	"  --show-key FILE      print what others know such a key by, a peer's as well, make it if need be, and end\n"
	"  --log-level LEVEL    TRACE DEBUG INFO WARN ERR FATAL NONE (default INFO, or PCCL_LOG_LEVEL)\n"
	"  --version            print the version\n"
	"  --help               print this\n"
	"\n"
	"SIGHUP, where there is a secret file, a certificate or a list: they are read again. They count for "
	"connections\n"
	"from then on, but who is not on the list any more is evicted.\n"
	"SIGINT and SIGTERM end it; running operations of the peers go on without a master.\n"
	"Exit status: 0 ended by a signal, 1 it could not start, 2 bad flags.\n";

struct options {
	const char *listen;
	const char *log_level;
	const char *allow; /* NULL: everybody */
	pcclSecurity_t security;
};

static bool set_security(const char *name, struct options *options)
{
	int mode;

	if (pcclParseName(pcclEnumSecurity, name, &mode) != pcclSuccess) {
		fprintf(stderr, "pccl-master: --security: %s\n", pcclGetLastError(NULL));
		return false;
	}
	options->security.mode = (pcclSecurityMode_t)mode;
	return true;
}

static int print_secret(void)
{
	char text[PCCL_SECRET_TEXT_BYTES];

	if (pcclGenerateSecret(text) != pcclSuccess) {
		fprintf(stderr, "pccl-master: %s\n", pcclGetLastError(NULL));
		return EXIT_FAILURE;
	}
	if (puts(text) < 0 || fflush(stdout) != 0) {
		perror("pccl-master: the secret can't be written");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static int print_key(const char *path)
{
	char text[PCCL_KEY_TEXT_BYTES];

	if (pcclDescribeKey(path, text) != pcclSuccess) {
		fprintf(stderr, "pccl-master: %s\n", pcclGetLastError(NULL));
		return EXIT_FAILURE;
	}
	if (puts(text) < 0 || fflush(stdout) != 0) {
		perror("pccl-master: the key can't be written");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

/* Returns the exit status, or -1 to go on. */
static int parse(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {{"listen", required_argument, NULL, 'l'},
					      {"security", required_argument, NULL, 's'},
					      {"secret-file", required_argument, NULL, 'f'},
					      {"generate-secret", no_argument, NULL, 'g'},
					      {"allow", required_argument, NULL, 'a'},
					      {"key", required_argument, NULL, 'k'},
					      {"show-key", required_argument, NULL, 'K'},
					      {"log-level", required_argument, NULL, 'v'},
					      {"version", no_argument, NULL, 'V'},
					      {"help", no_argument, NULL, 'h'},
					      {NULL, 0, NULL, 0}};
	int flag;

	while ((flag = getopt_long(argc, argv, "a:l:s:f:gk:K:v:Vh", longs, NULL)) != -1) {
		switch (flag) {
		case 'l':
			options->listen = optarg;
			break;
		case 'v':
			options->log_level = optarg;
			break;
		case 's':
			if (!set_security(optarg, options))
				return 2;
			break;
		case 'f':
			options->security.secret_file = optarg;
			break;
		case 'g':
			return print_secret();
		case 'a':
			options->allow = optarg;
			break;
		case 'k':
			options->security.identity_file = optarg;
			break;
		case 'K':
			return print_key(optarg);
		case 'V':
			printf("pccl-master %d.%d.%d\n", pcclGetVersion() / 10000, pcclGetVersion() / 100 % 100,
			       pcclGetVersion() % 100);
			return EXIT_SUCCESS;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			fputs("pccl-master: see pccl-master --help\n", stderr);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "pccl-master: unexpected argument '%s'; see pccl-master --help\n", argv[optind]);
	return 2;
}

/* Without a flag the environment counts, and without that INFO: a master has a log to keep. */
static bool set_log_level(const char *name)
{
	int level = pcclLogInfo;

	if (name == NULL && getenv("PCCL_LOG_LEVEL") != NULL)
		return true;
	if (name != NULL && pcclParseName(pcclEnumLogLevel, name, &level) != pcclSuccess) {
		fprintf(stderr, "pccl-master: --log-level: %s\n", pcclGetLastError(NULL));
		return false;
	}
	return pcclSetLogLevel((pcclLogLevel_t)level) == pcclSuccess;
}

static int fail(const char *what, int status)
{
	fprintf(stderr, "pccl-master: %s: %s\n", what, pcclGetLastError(NULL));
	return status;
}

static pcclResult_t find_address(const char *text, ccoip_socket_address_t *address_out)
{
	struct pccl_address address;
	size_t count = 1;
	char host[256];
	uint16_t port;
	pcclResult_t result = pccl_address_split(text, CCOIP_PROTOCOL_PORT_MASTER, host, sizeof(host), &port);

	if (result == pcclSuccess && port == 0)
		result = pccl_fail(pcclInvalidArgument, "the master needs a port that peers can be told: 0 is none");
	if (result == pcclSuccess)
		result = pccl_address_resolve(host, port, &address, &count);
	if (result == pcclSuccess)
		result = pccl_address_to_ccoip(&address, address_out);
	return result;
}

/* One descriptor per peer; the usual 1,024 are few. What can't be had is said when it is missing. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* That can be read again. */
static bool has_files(const struct options *options)
{
	return options->allow != NULL || options->security.secret_file != NULL || getenv("PCCL_SECRET_FILE") != NULL ||
	       getenv("PCCL_CERTIFICATE_FILE") != NULL;
}

/* What is wrong with one does not keep the other. */
static void read_again(pcclMasterInstance_t *master, const struct options *options)
{
	bool good = true;

	if (pcclSetMasterSecurity(master, &options->security) != pcclSuccess) {
		good = false;
		fprintf(stderr, "pccl-master: its credentials stay as they were: %s\n", pcclGetLastError(NULL));
	}
	if (pcclSetMasterAdmission(master, options->allow) != pcclSuccess) {
		good = false;
		fprintf(stderr, "pccl-master: who may join stays as it was: %s\n", pcclGetLastError(NULL));
	}
	if (good)
		fputs("pccl-master: files were read again\n", stderr);
}

/* Until a signal ends it. Returns that. */
static int serve(pcclMasterInstance_t *master, const sigset_t *signals, const struct options *options)
{
	int signal_number;

	while (sigwait(signals, &signal_number) == 0 && signal_number == SIGHUP)
		read_again(master, options);
	return signal_number;
}

int main(int argc, char **argv)
{
	struct options options = {"[::]", NULL, getenv("PCCL_ALLOW_FILE"), PCCL_SECURITY_INITIALIZER};
	char key[PCCL_KEY_TEXT_BYTES];
	const char *identity;
	ccoip_socket_address_t address;
	pcclMasterInstance_t *master;
	sigset_t ends;
	int status = parse(argc, argv, &options), signal_number;

	if (status >= 0)
		return status;
	if (!set_log_level(options.log_level))
		return 2;
	if (find_address(options.listen, &address) != pcclSuccess)
		return fail("--listen", 2);
	raise_descriptors();
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	if (has_files(&options))
		sigaddset(&ends, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	if (pcclCreateMaster(address, &master) != pcclSuccess ||
	    pcclSetMasterSecurity(master, &options.security) != pcclSuccess ||
	    pcclSetMasterAdmission(master, options.allow) != pcclSuccess || pcclRunMaster(master) != pcclSuccess)
		return fail("cannot start", EXIT_FAILURE);
	identity =
		options.security.identity_file != NULL ? options.security.identity_file : getenv("PCCL_IDENTITY_FILE");
	if (identity != NULL && pcclDescribeKey(identity, key) == pcclSuccess)
		fprintf(stderr, "pccl-master: its key is %s\n", key);
	fprintf(stderr, "pccl-master: listening on %s, port %u\n", options.listen, address.port);
	signal_number = serve(master, &ends, &options);
	pcclDestroyMaster(master);
	fprintf(stderr, "pccl-master: ended by %s\n", strsignal(signal_number));
	return EXIT_SUCCESS;
}
