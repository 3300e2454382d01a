/* Idle processor time and memory; see footprint.h. Linux only: it reads /proc. */
#include "footprint.h"

#include "buffers.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define IDLE_SECONDS 3
#define ROUNDS 5

/* A field of /proc/self/status in bytes; 0 if there is none. */
static uint64_t status_bytes(const char *field)
{
	FILE *file = fopen("/proc/self/status", "r");
	size_t length = strlen(field);
	uint64_t bytes = 0;
	char line[128];

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, field, length) == 0 && line[length] == ':')
			bytes = strtoull(line + length + 1, NULL, 10) << 10;
	fclose(file);
	return bytes;
}

uint64_t bench_resident_bytes(void)
{
	return status_bytes("VmRSS");
}

/* Makes the high-water mark of resident memory start again from now. */
static void reset_peak(void)
{
	FILE *file = fopen("/proc/self/clear_refs", "w");

	if (file == NULL)
		return;
	fputs("5\n", file);
	fclose(file);
}

static double process_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec * 1e-6 + (double)usage.ru_stime.tv_sec +
	       (double)usage.ru_stime.tv_usec * 1e-6;
}

static bool show_idle(struct bench_peer *peer)
{
	const struct timespec pause = {IDLE_SECONDS, 0};
	double seconds;

	if (!bench_peer_meet(peer))
		return false;
	seconds = process_seconds();
	nanosleep(&pause, NULL);
	seconds = (process_seconds() - seconds) / IDLE_SECONDS;
	if (!bench_peer_gather(peer, BENCH_GATHER_MAX, &seconds, 1))
		return false;
	if (peer->rank == 0 && peer->options->json)
		printf("{\"footprint\": \"idle\", \"peers\": %u, \"cpu_share\": %.5f}\n", peer->world, seconds);
	else if (peer->rank == 0)
		printf("idle: %.2f %% of one core at most\n", seconds * 100);
	fflush(stdout);
	return true;
}

static bool reduce(struct bench_peer *peer, struct bench_buffers *buffers)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;

	operation.count = buffers->count;
	operation.datatype = peer->options->datatype;
	operation.op = peer->options->op;
	operation.plan = peer->options->plan;
	operation.input = peer->options->give_up ? pcclInputGiveUp : pcclInputKeep;
	for (int i = 0; i < ROUNDS; i++) {
		pcclResult_t result;

		bench_buffers_restore(buffers, peer);
		result = pcclAllReduceWith(buffers->each[0].input, buffers->each[0].output, &operation, peer->comm,
					   NULL);
		if (result != pcclSuccess) {
			bench_complain("allreduce", result);
			return false;
		}
	}
	return true;
}

static bool show_memory(struct bench_peer *peer, uint64_t before_bytes, uint64_t bytes)
{
	struct bench_buffers buffers;
	bool good = bench_buffers_init(&buffers, peer, bytes);
	uint64_t own_bytes = before_bytes + 2 * buffers.whole_bytes;
	double extra = 0;
	char text[32], extra_text[32];

	reset_peak();
	good = good && reduce(peer, &buffers);
	if (status_bytes("VmHWM") > own_bytes)
		extra = (double)(status_bytes("VmHWM") - own_bytes);
	good = good && bench_peer_gather(peer, BENCH_GATHER_MAX, &extra, 1);
	if (good && peer->rank == 0 && peer->options->json)
		printf("{\"footprint\": \"memory\", \"peers\": %u, \"bytes\": %zu, \"in_place\": %s, \"extra_bytes\": "
		       "%.0f}\n",
		       peer->world, buffers.whole_bytes, peer->options->in_place ? "true" : "false", extra);
	else if (good && peer->rank == 0)
		printf("%s%s: %s beyond the buffers at most\n", bench_bytes_text(buffers.whole_bytes, text),
		       peer->options->in_place ? " in place" : "", bench_bytes_text((uint64_t)extra, extra_text));
	fflush(stdout);
	bench_buffers_fini(&buffers);
	return good;
}

int bench_footprint(struct bench_peer *peer, uint64_t before_bytes)
{
	if (!show_idle(peer))
		return 1;
	for (size_t i = 0; i < peer->options->size_count; i++)
		if (!show_memory(peer, before_bytes, peer->options->sizes[i]))
			return 1;
	return 0;
}
