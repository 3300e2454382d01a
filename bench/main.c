/* allreduce-bench: measures, checks, demonstrates and torments pccl. `--help` is the manual. */
#include "chaos.h"
#include "demo.h"
#include "local.h"
#include "loss.h"
#include "measure.h"
#include "options.h"
#include "peer.h"
#include "prefetch.h"
#include "state.h"

#include <stdlib.h>

#include <pccl/diagnostics.h>

/* One peer of a run across machines; the one with rank 0 prints. */
static int run_peer(const struct bench_options *options)
{
	ccoip_socket_address_t master;
	struct bench_peer peer;
	int status;

	if (!bench_resolve(options->master_host, options->master_port, &master) ||
	    !bench_peer_join(&peer, options, &master, NULL))
		return 1;
	status = bench_measure_all(&peer);
	bench_peer_meet(&peer);
	bench_peer_leave(&peer);
	return status;
}

/* By the environment, which all processes of this run inherit. */
static bool set_security(const struct bench_options *options)
{
	char secret[PCCL_SECRET_TEXT_BYTES];

	if (options->security == pcclSecurityDefault)
		return true;
	if (setenv("PCCL_SECURITY", pcclGetName(pcclEnumSecurity, (int)options->security), 1) != 0)
		return false;
	if (options->security != pcclSecurityPsk || options->mode == BENCH_MODE_PEER ||
	    getenv("PCCL_SECRET_FILE") != NULL)
		return true;
	return pcclGenerateSecret(secret) == pcclSuccess && setenv("PCCL_SECRET", secret, 1) == 0;
}

static int run(const struct bench_options *options)
{
	switch (options->mode) {
	case BENCH_MODE_LOCAL:
		return options->loss ? bench_loss(options) : bench_local(options);
	case BENCH_MODE_PEER:
		return run_peer(options);
	case BENCH_MODE_DEMO:
		return bench_demo();
	case BENCH_MODE_CHAOS:
		return bench_chaos(options);
	case BENCH_MODE_STATE:
		return options->prefetch_mbit > 0 ? bench_prefetch(options) : bench_state(options);
	case BENCH_MODE_HELP:
		break;
	}
	bench_options_help(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct bench_options options;
	char problem[BENCH_PROBLEM_BYTES];

	if (!bench_options_parse(argc, argv, &options, problem)) {
		fprintf(stderr, "allreduce-bench: %s\nTry 'allreduce-bench --help'.\n", problem);
		return 2;
	}
	if (!set_security(&options)) {
		fprintf(stderr, "allreduce-bench: --security: %s\n", pcclGetLastError(NULL));
		return 1;
	}
	return bench_end(run(&options));
}
