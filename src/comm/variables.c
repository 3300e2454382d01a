#include "comm/variables.h"

#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define PREFIX "PCCL_"
#define NAME_MAX_BYTES 40 /* of the longest here, and some */
#define DISTANCE_MAX 3	  /* characters to insert, leave out or exchange: more is another name */
#define WARNINGS_MAX 16

static const char *const known[] = {
	/* settings */
	"PCCL_ADMISSION_TIMEOUT_MS", "PCCL_ADVERTISED_ADDRESS", "PCCL_BINDING", "PCCL_BUNDLE", "PCCL_CHECKSUMS",
	"PCCL_CONNECT_ATTEMPTS", "PCCL_CONNECT_TIMEOUT_MS", "PCCL_FAILURE_POLICY", "PCCL_HEARTBEAT_INTERVAL_MS",
	"PCCL_HEARTBEAT_TIMEOUT_MS", "PCCL_INTERFACES", "PCCL_JOINT_TIMEOUT_MS", "PCCL_LANES", "PCCL_LATE_MEMBERS",
	"PCCL_LISTEN_ADDRESS", "PCCL_MASTERS", "PCCL_MASTER_TIMEOUT_MS", "PCCL_OPERATION_TIMEOUT_MS", "PCCL_PLAN",
	"PCCL_PORT", "PCCL_STREAMS", "PCCL_TRANSPORT", "PCCL_VERIFY", "PCCL_ZSTD",
	/* security */
	"PCCL_AUTHORITY_FILE", "PCCL_CERTIFICATE_FILE", "PCCL_IDENTITY_FILE", "PCCL_KEY_FILE", "PCCL_MASTER_KEYS",
	"PCCL_RDMA_TRUSTED", "PCCL_REVOKED_FILE", "PCCL_SECRET", "PCCL_SECRET_FILE", "PCCL_SECURITY",
	/* of the process */
	"PCCL_CPU", "PCCL_LOG_LEVEL", "PCCL_RDMA_DEVICE",
	/* the master's, the launcher's, the Python package's, and those of builds and tests */
	"PCCL_ALLOW_FILE", "PCCL_BUILD", "PCCL_CONTROL_SOCKET", "PCCL_LIBRARY", "PCCL_MASTER_PORT", "PCCL_NAMESPACES",
	"PCCL_PEER_GROUP", "PCCL_RESTARTS", "PCCL_TORCH_PYTHON"};

/* Whatever follows. */
static const char *const families[] = {"PCCL_FUZZ_", "PCCL_TEST_"};

bool pccl_variables_has(const char *name, size_t length)
{
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i]) == length && memcmp(known[i], name, length) == 0)
			return true;
	for (i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (strlen(families[i]) <= length && memcmp(families[i], name, strlen(families[i])) == 0)
			return true;
	return false;
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	const unsigned less = a < b ? a : b;

	return less < c ? less : c;
}

/* Levenshtein's, one row of his table at a time. `length` is at most NAME_MAX_BYTES. */
static unsigned distance(const char *from, const char *name, size_t length)
{
	unsigned row[NAME_MAX_BYTES + 1];
	size_t i;

	for (i = 0; i <= length; i++)
		row[i] = (unsigned)i;
	for (; *from != '\0'; from++) {
		unsigned diagonal = row[0];

		row[0]++;
		for (i = 1; i <= length; i++) {
			const unsigned exchanged = diagonal + (*from != name[i - 1]);

			diagonal = row[i];
			row[i] = least(row[i] + 1, row[i - 1] + 1, exchanged);
		}
	}
	return row[length];
}

const char *pccl_variables_nearest(const char *name, size_t length)
{
	const char *nearest = NULL;
	unsigned best = DISTANCE_MAX + 1;
	size_t i;

	if (length > NAME_MAX_BYTES)
		return NULL;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const unsigned here = distance(known[i], name, length);

		/* Of a short name little may be left. */
		if (here < best && here * 2 < strlen(known[i]) - strlen(PREFIX)) {
			best = here;
			nearest = known[i];
		}
	}
	return nearest;
}

/* Never its value, which may be a secret. */
static void warn_of(const char *name, size_t length)
{
	const char *nearest = pccl_variables_nearest(name, length);

	pccl_log_warn("nobody reads %.*s, which the environment has%s%s%s", (int)(length < 64 ? length : 64), name,
		      nearest != NULL ? ": is " : "", nearest != NULL ? nearest : "", nearest != NULL ? " meant?" : "");
}

void pccl_variables_check(void)
{
	static bool done;
	char **at = environ;
	unsigned warnings = 0;

	if (__atomic_exchange_n(&done, true, __ATOMIC_RELAXED) || at == NULL)
		return;
	for (; *at != NULL && warnings < WARNINGS_MAX; at++) {
		const size_t length = strcspn(*at, "=");

		if (strncmp(*at, PREFIX, strlen(PREFIX)) != 0 || pccl_variables_has(*at, length))
			continue;
		warn_of(*at, length);
		warnings++;
	}
}
