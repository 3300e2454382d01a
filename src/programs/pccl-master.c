/* pccl-master: admits peers and decides outcomes; a shell around the public master calls. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ccoip.h>
#include <pccl/diagnostics.h>
#include <pccl/security.h>

#include "base/fail.h"
#include "base/log.h"
#include "comm/control_socket.h"
#include "transport/address.h"

static const char usage[] =
	"usage: pccl-master [--listen HOST:PORT] [--security MODE] [--secret-file FILE] [--key FILE]\n"
	"                   [--allow FILE] [--control SOCKET] [--log-level LEVEL]\n"
	"       pccl-master --control SOCKET --do COMMAND\n"
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
	"                       PCCL_IDENTITY_FILE. It signs views with it, and believes what it is told of views if\n"
	"                       it has signed that, or a master of its own PCCL_MASTER_KEYS\n"
	"  --allow FILE         who may join, of those who have the secret or a certificate: a line for each, key KEY "
	"or\n"
	"                       name NAME (in its certificate), perhaps with \" groups 0,3-5\"; as PCCL_ALLOW_FILE.\n"
	"  --control SOCKET     make a socket there, for this user only, by which the master is told what to do; as\n"
	"                       PCCL_CONTROL_SOCKET\n"
	"  --do COMMAND         tell the master at that socket, print its answer, and end\n"
	"  --show-key FILE      print what others know such a key by, a peer's as well, make it if need be, and end\n"
	"  --log-level LEVEL    TRACE DEBUG INFO WARN ERR FATAL NONE (default INFO, or PCCL_LOG_LEVEL)\n"
	"  --version            print the version\n"
	"  --help               print this\n"
	"\n"
	"Commands: list                          who is here\n"
	"          evict WHOM [because TEXT]     out at once; it may come back as another peer\n"
	"          ban WHOM [because TEXT]       the same, and it may not come back while this master runs, until\n"
	"          unban WHOM\n"
	"          bans                          who is banned\n"
	"          reload                        as SIGHUP\n"
	"WHOM is uuid UUID, key KEY or name NAME, as the list says it; a uuid can't be banned.\n"
	"\n"
	"SIGHUP: secret file, certificates and list, where there are any, are read again. They count for connections\n"
	"from then on, but who is not on the list any more is evicted. The master's own key stays.\n"
	"SIGINT and SIGTERM end it; running operations of the peers go on without a master.\n"
	"Exit status: 0 ended by a signal, or the command is done, 1 it could not start, or be done, 2 bad flags.\n";

struct options {
	const char *listen;
	const char *log_level;
	const char *allow;   /* NULL: everybody */
	const char *control; /* NULL: no socket */
	const char *command; /* NULL: be a master */
	const char *shown;   /* a key's file; NULL: none */
	bool generates;
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

/* The exit status. */
static int finish_output(const char *what)
{
	if (ferror(stdout) == 0 && fflush(stdout) == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "pccl-master: %s can't be written: %s\n", what, strerror(errno));
	return EXIT_FAILURE;
}

static int print_secret(void)
{
	char text[PCCL_SECRET_TEXT_BYTES];

	if (pcclGenerateSecret(text) != pcclSuccess) {
		fprintf(stderr, "pccl-master: %s\n", pcclGetLastError(NULL));
		return EXIT_FAILURE;
	}
	(void)puts(text);
	return finish_output("the secret");
}

static int print_key(const char *path)
{
	char text[PCCL_KEY_TEXT_BYTES];

	if (pcclDescribeKey(path, text) != pcclSuccess) {
		fprintf(stderr, "pccl-master: %s\n", pcclGetLastError(NULL));
		return EXIT_FAILURE;
	}
	(void)puts(text);
	return finish_output("the key");
}

/* What needs no master. Returns the exit status, or -1 to go on. */
static int only_print(const struct options *options)
{
	bool serves = options->listen != NULL || options->command != NULL || options->log_level != NULL ||
		      options->security.secret_file != NULL || options->security.identity_file != NULL ||
		      options->security.mode != pcclSecurityDefault;

	if (!options->generates && options->shown == NULL)
		return -1;
	if (serves || (options->generates && options->shown != NULL)) {
		fputs("pccl-master: --generate-secret and --show-key go with no other flag\n", stderr);
		return 2;
	}
	return options->generates ? print_secret() : print_key(options->shown);
}

/* Returns the exit status, or -1 to go on. */
static int parse(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {{"listen", required_argument, NULL, 'l'},
					      {"security", required_argument, NULL, 's'},
					      {"secret-file", required_argument, NULL, 'f'},
					      {"generate-secret", no_argument, NULL, 'g'},
					      {"allow", required_argument, NULL, 'a'},
					      {"control", required_argument, NULL, 'c'},
					      {"do", required_argument, NULL, 'd'},
					      {"key", required_argument, NULL, 'k'},
					      {"show-key", required_argument, NULL, 'K'},
					      {"log-level", required_argument, NULL, 'v'},
					      {"version", no_argument, NULL, 'V'},
					      {"help", no_argument, NULL, 'h'},
					      {NULL, 0, NULL, 0}};
	int flag;

	while ((flag = getopt_long(argc, argv, "a:c:d:l:s:f:gk:K:v:Vh", longs, NULL)) != -1) {
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
			options->generates = true;
			break;
		case 'a':
			options->allow = optarg;
			break;
		case 'c':
			options->control = optarg;
			break;
		case 'd':
			if (options->command != NULL) {
				fputs("pccl-master: --do is there twice: one command at a time\n", stderr);
				return 2;
			}
			options->command = optarg;
			break;
		case 'k':
			options->security.identity_file = optarg;
			break;
		case 'K':
			options->shown = optarg;
			break;
		case 'V':
			printf("pccl-master %d.%d.%d\n", pcclGetVersion() / 10000, pcclGetVersion() / 100 % 100,
			       pcclGetVersion() % 100);
			return finish_output("the version");
		case 'h':
			fputs(usage, stdout);
			return finish_output("the manual");
		default:
			fputs("pccl-master: see pccl-master --help\n", stderr);
			return 2;
		}
	}
	if (optind == argc)
		return only_print(options);
	fprintf(stderr, "pccl-master: unexpected argument '%s'; see pccl-master --help\n", argv[optind]);
	return 2;
}

/* Without a flag the environment counts, and without that INFO: a master has a log to keep. */
static bool set_log_level(const char *name)
{
	const char *from = name != NULL ? "--log-level" : "PCCL_LOG_LEVEL";
	int level = pcclLogInfo;

	if (name == NULL)
		name = getenv("PCCL_LOG_LEVEL");
	if (name != NULL && *name != '\0' && pcclParseName(pcclEnumLogLevel, name, &level) != pcclSuccess) {
		fprintf(stderr, "pccl-master: %s: %s\n", from, pcclGetLastError(NULL));
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
	if (result == pcclSuccess && address.storage.ss_family == AF_INET6 && pccl_address_is_link_local(&address))
		result = pccl_fail(pcclInvalidArgument,
				   "%s: a master can't listen at a link-local address alone, for its zone would be "
				   "lost: leave --listen out, or say [::]:%u, and it listens at all addresses",
				   host, port);
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

static const char no_files[] = "it has no files to read again";

/* A terminal that is stopped, or a pipe that nobody reads, would hold it up in the midst of a line. So it opens what
 * stderr is once more, for itself alone: others who have the same stderr may still wait. */
static void free_stderr(void)
{
	struct stat status;
	int fd;

	if (fstat(STDERR_FILENO, &status) != 0 || !(S_ISFIFO(status.st_mode) || isatty(STDERR_FILENO)))
		return;
	fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0) {
		(void)dup2(fd, STDERR_FILENO);
		close(fd);
	}
}

/* That can be read again. */
static bool has_files(const struct options *options)
{
	return options->allow != NULL || options->security.secret_file != NULL || getenv("PCCL_SECRET_FILE") != NULL ||
	       getenv("PCCL_CERTIFICATE_FILE") != NULL;
}

struct service {
	pcclMasterInstance_t *master;
	const struct options *options;
	int signals;
	int control; /* -1: none */
};

/* What is wrong with one does not keep the other. */
static pcclResult_t read_again(const struct service *service, pcclLineCallback_t say, void *context)
{
	const struct options *options = service->options;
	pcclResult_t credentials = pcclSetMasterSecurity(service->master, &options->security), list;
	char line[PCCL_FAIL_TEXT_BYTES + 64];

	if (credentials != pcclSuccess) {
		(void)snprintf(line, sizeof(line), "its credentials stay as they were: %s", pcclGetLastError(NULL));
		say(line, context);
	}
	list = pcclSetMasterAdmission(service->master, options->allow);
	if (list != pcclSuccess) {
		(void)snprintf(line, sizeof(line), "who may join stays as it was: %s", pcclGetLastError(NULL));
		say(line, context);
	}
	if (credentials == pcclSuccess && list == pcclSuccess)
		say("files were read again", context);
	return credentials != pcclSuccess ? credentials : list;
}

static void say_line(const char *line, void *context)
{
	(void)context;
	pccl_log_say("pccl-master: %s", line);
}

/* Blanks do not count. */
static bool is_reload(const char *line)
{
	static const char word[] = "reload";
	const char *begin = line + strspn(line, " \t"), *end = begin + strlen(word);

	return strncmp(begin, word, strlen(word)) == 0 && end[strspn(end, " \t")] == '\0';
}

/* An answer that stands in the log as well. */
struct answer {
	pcclLineCallback_t take;
	void *context;
};

static void say_and_take(const char *line, void *context)
{
	const struct answer *answer = context;

	say_line(line, NULL);
	answer->take(line, answer->context);
}

static pcclResult_t reload(const struct service *service, pcclLineCallback_t take, void *context)
{
	struct answer answer = {take, context};

	if (!has_files(service->options))
		return pccl_fail(pcclInvalidUsage, "%s", no_files);
	return read_again(service, say_and_take, &answer);
}

static pcclResult_t obey(void *context, const char *line, pcclLineCallback_t take, void *answer)
{
	const struct service *service = context;
	pcclResult_t result;

	pccl_log_info("its operator says: %s", line);
	result = is_reload(line) ? reload(service, take, answer)
				 : pcclCommandMaster(service->master, line, take, answer);
	if (result == pcclSuccess)
		pccl_log_info("done: %s", line);
	else
		pccl_log_warn("not done: %s: %s", line, pcclGetLastError(NULL));
	return result;
}

/* 0: none has come that ends it. */
static int take_signal(const struct service *service)
{
	struct signalfd_siginfo taken;

	if (read(service->signals, &taken, sizeof(taken)) != (ssize_t)sizeof(taken))
		return 0;
	if (taken.ssi_signo != SIGHUP)
		return (int)taken.ssi_signo;
	if (has_files(service->options))
		(void)read_again(service, say_line, NULL);
	else
		say_line(no_files, NULL);
	return 0;
}

/* Until a signal ends it. Returns that. */
static int serve(struct service *service)
{
	struct pollfd watched[] = {{.fd = service->signals, .events = POLLIN},
				   {.fd = service->control, .events = POLLIN}};
	int signal_number = 0;

	while (signal_number == 0) {
		if (poll(watched, 2, -1) < 0)
			continue;
		if (watched[1].revents != 0)
			pccl_control_serve(service->control, obey, service);
		if (watched[0].revents != 0)
			signal_number = take_signal(service);
	}
	return signal_number;
}

/* Before there are threads, which take what the first one has blocked over. */
static int watch_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

static pcclResult_t start(ccoip_socket_address_t address, struct service *service)
{
	const struct options *options = service->options;
	pcclResult_t result = pcclCreateMaster(address, &service->master);

	if (service->signals < 0)
		return pccl_fail(pcclSystemError, "signals can't be watched: %s", strerror(errno));
	if (result == pcclSuccess)
		result = pcclSetMasterSecurity(service->master, &options->security);
	if (result == pcclSuccess)
		result = pcclSetMasterAdmission(service->master, options->allow);
	if (result == pcclSuccess && options->control != NULL)
		result = pccl_control_listen(options->control, &service->control);
	if (result == pcclSuccess)
		result = pcclRunMaster(service->master);
	return result;
}

static void say_hello(const struct options *options, uint16_t port)
{
	const char *identity = options->security.identity_file;
	char key[PCCL_KEY_TEXT_BYTES];

	if (identity == NULL)
		identity = getenv("PCCL_IDENTITY_FILE");
	if (identity != NULL && pcclDescribeKey(identity, key) == pcclSuccess)
		pccl_log_say("pccl-master: its key is %s", key);
	pccl_log_say("pccl-master: listening on %s, port %u", options->listen, port);
}

static void print_line(const char *line, void *context)
{
	(void)context;
	(void)puts(line);
}

static int command(const struct options *options)
{
	if (options->control == NULL) {
		fputs("pccl-master: --do needs --control SOCKET, that of a master which runs\n", stderr);
		return 2;
	}
	if (pccl_control_ask(options->control, options->command, print_line, NULL) != pcclSuccess) {
		(void)fflush(stdout);
		return fail("--do", EXIT_FAILURE);
	}
	return finish_output("the answer");
}

int main(int argc, char **argv)
{
	struct options options = {.allow = getenv("PCCL_ALLOW_FILE"),
				  .control = getenv("PCCL_CONTROL_SOCKET"),
				  .security = PCCL_SECURITY_INITIALIZER};
	struct service service = {.options = &options, .control = -1};
	ccoip_socket_address_t address;
	int status = parse(argc, argv, &options), signal_number;

	if (status >= 0)
		return status;
	if (options.listen == NULL)
		options.listen = "[::]";
	if (options.command != NULL)
		return command(&options);
	if (!set_log_level(options.log_level))
		return 2;
	if (find_address(options.listen, &address) != pcclSuccess)
		return fail("--listen", 2);
	(void)signal(SIGPIPE, SIG_IGN); /* who reads its log may go */
	free_stderr();
	raise_descriptors();
	service.signals = watch_signals();
	if (start(address, &service) != pcclSuccess) {
		status = fail("cannot start", EXIT_FAILURE);
		if (service.control >= 0)
			pccl_control_remove(options.control);
		return status;
	}
	say_hello(&options, address.port);
	signal_number = serve(&service);
	if (service.control >= 0)
		pccl_control_remove(options.control);
	pcclDestroyMaster(service.master);
	pccl_log_say("pccl-master: ended by %s", strsignal(signal_number));
	return EXIT_SUCCESS;
}
