/*
 * How fast bytes go both ways at once between two processes over loopback TCP:
 *
 *	stream_speed [MIB [FRAME_KIB [ROUNDS]]]
 *
 * `bare 1`: one plain socket and nothing else; `bare 2`: one for each direction; `stream`: frames with checksums over
 *one stream of the transport; `link`: over a link with one stream. Per line: GB/s each way and processor seconds per
 *GiB moved (of both processes, both ways together). The kinds take turns, ROUNDS times, for machines are never quiet;
 *the best and the median round of each are printed.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport/link/link.h"
#include "transport/tcp/tcp.h"
#include "transport/transport.h"

#define SOURCE_BYTES (64u << 20) /* what is sent lies out of the cache */
#define SLOTS 4u		 /* what is received goes to few places */
#define ROUNDS_MAX 100u
#define KINDS 4u

static const char *const kind_names[KINDS] = {"bare 1", "bare 2", "stream", "link"};

struct side {
	uint64_t total_bytes; /* each way */
	uint32_t frame_bytes;
	uint64_t sent_bytes; /* handed over */
	uint64_t received_bytes;
	uint64_t acked_bytes;
	uint8_t *source;
	uint8_t *slots;
	uint32_t slot;
	struct pccl_loop *loop;
	struct pccl_listener *listener;
	struct pccl_stream *stream;
	struct pccl_link *link;
};

/* Shared by the two processes: where to meet, what it took. */
struct board {
	double cpu_s[2];
	double wall_s[2];
	uint32_t arrived;
	uint16_t port;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double cpu_now(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static uint8_t *next_slot(struct side *side)
{
	side->slot = (side->slot + 1) % SLOTS;
	return side->slots + (size_t)side->slot * side->frame_bytes;
}

static const uint8_t *next_source(struct side *side)
{
	return side->source + side->sent_bytes % (SOURCE_BYTES - side->frame_bytes + 1);
}

/* ---- plain sockets ------------------------------------------------------------------------------------------- */

static bool moved(ssize_t count, const char *what)
{
	if (count < 0 && errno != EAGAIN)
		die(what);
	return count > 0;
}

static void exchange_bare(struct side *side, int out_fd, int in_fd)
{
	while (side->sent_bytes < side->total_bytes || side->received_bytes < side->total_bytes) {
		struct pollfd polls[2] = {{out_fd, 0, 0}, {in_fd, 0, 0}};
		uint64_t out_left = side->total_bytes - side->sent_bytes;
		uint64_t in_left = side->total_bytes - side->received_bytes;
		bool any = false;
		ssize_t count;

		if (out_left > 0) {
			count = send(out_fd, next_source(side),
				     out_left < side->frame_bytes ? out_left : side->frame_bytes,
				     MSG_NOSIGNAL | MSG_DONTWAIT);
			any = moved(count, "send");
			side->sent_bytes += any ? (uint64_t)count : 0;
		}
		if (in_left > 0) {
			count = recv(in_fd, next_slot(side), in_left < side->frame_bytes ? in_left : side->frame_bytes,
				     MSG_DONTWAIT);
			if (moved(count, "recv")) {
				side->received_bytes += (uint64_t)count;
				any = true;
			}
		}
		if (any)
			continue;
		polls[0].events = out_left > 0 ? POLLOUT : 0;
		polls[1].events = in_left > 0 ? POLLIN : 0;
		poll(polls, 2, -1);
	}
}

/* ---- streams ------------------------------------------------------------------------------------------------- */

static bool is_done(const struct side *side)
{
	return side->received_bytes >= side->total_bytes && side->acked_bytes >= side->total_bytes;
}

static void push(struct side *side)
{
	struct pccl_frame frame = {.type = PCCL_FRAME_PARTIAL, .payload_bytes = side->frame_bytes};

	while (side->sent_bytes < side->total_bytes && pccl_tcp.send(side->stream, &frame, next_source(side), NULL))
		side->sent_bytes += side->frame_bytes;
}

static void on_opened(void *context, struct pccl_stream *stream)
{
	(void)stream;
	push(context);
}

static enum pccl_frame_verdict on_header(void *context, struct pccl_stream *stream, const struct pccl_frame *frame,
					 void **destination_out)
{
	(void)stream;
	(void)frame;
	*destination_out = next_slot(context);
	return PCCL_FRAME_TAKE;
}

static void on_received(void *context, struct pccl_stream *stream, const struct pccl_frame *frame)
{
	struct side *side = context;

	(void)stream;
	side->received_bytes += frame->payload_bytes;
}

static void on_room(void *context, struct pccl_stream *stream)
{
	(void)stream;
	push(context);
}

static void on_sent(void *context, struct pccl_stream *stream, void *token)
{
	struct side *side = context;

	(void)stream;
	(void)token;
	side->acked_bytes += side->frame_bytes;
}

static void on_broken(void *context, struct pccl_stream *stream, const char *reason)
{
	(void)stream;
	if (!is_done(context))
		fprintf(stderr, "%s\n", reason);
}

static const struct pccl_stream_events stream_events = {on_opened, on_header, on_received, on_room, on_sent, on_broken};

static void on_accepted(void *context, struct pccl_stream *stream)
{
	struct side *side = context;

	side->stream = stream;
	if (pccl_tcp.attach(stream, side->loop, &stream_events, side) != pcclSuccess)
		die("attach");
	push(side);
}

/* ---- links --------------------------------------------------------------------------------------------------- */

static bool on_next(void *context, struct pccl_link *link, struct pccl_frame_send *send_out)
{
	struct side *side = context;

	(void)link;
	if (side->sent_bytes >= side->total_bytes)
		return false;
	memset(send_out, 0, sizeof(*send_out));
	send_out->frame.type = PCCL_FRAME_PARTIAL;
	send_out->frame.payload_bytes = side->frame_bytes;
	send_out->payload = next_source(side);
	send_out->token = side;
	side->sent_bytes += side->frame_bytes;
	return true;
}

static enum pccl_frame_verdict on_accept(void *context, struct pccl_link *link, const struct pccl_frame *frame,
					 void **destination_out)
{
	(void)link;
	return on_header(context, NULL, frame, destination_out);
}

static void on_link_received(void *context, struct pccl_link *link, const struct pccl_frame *frame)
{
	(void)link;
	on_received(context, NULL, frame);
}

static void on_dropped(void *context, struct pccl_link *link, const struct pccl_frame *frame)
{
	(void)context;
	(void)link;
	(void)frame;
}

static void on_acked(void *context, struct pccl_link *link, void *token)
{
	(void)link;
	on_sent(context, NULL, token);
}

static void on_up(void *context, struct pccl_link *link)
{
	(void)context;
	(void)link;
}

static void on_link_broken(void *context, struct pccl_link *link, bool broken)
{
	(void)context;
	(void)link;
	(void)broken;
}

static void on_lost(void *context, struct pccl_link *link, const char *reason)
{
	(void)context;
	(void)link;
	fprintf(stderr, "%s\n", reason);
	exit(1);
}

static const struct pccl_link_events link_events = {on_next, on_accept, on_link_received, on_dropped, on_acked,
						    NULL,    on_up,	on_link_broken,	  on_lost};

static void on_arrived(void *context, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	pccl_link_adopt(((struct side *)context)->link, stream, hello);
}

/* ---- runs ---------------------------------------------------------------------------------------------------- */

static void meet(struct board *board, uint32_t count)
{
	__atomic_add_fetch(&board->arrived, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&board->arrived, __ATOMIC_SEQ_CST) < count)
		usleep(200);
}

static struct pccl_address loopback(uint16_t port)
{
	struct pccl_address address;

	if (pccl_address_numeric("127.0.0.1", port, &address) != pcclSuccess)
		die("address");
	return address;
}

/* Both sides turn their loops until all is received and acknowledged, and a moment longer for the other side's sake. */
static void turn_until_done(struct side *side)
{
	while (!is_done(side))
		pccl_loop_turn(side->loop, UINT64_MAX);
}

static void set_up_stream(struct side *side, struct board *board, bool dials)
{
	struct pccl_address address = loopback(board->port);

	if (dials) {
		if (pccl_tcp.dial(&pccl_tcp, side->loop, &address, NULL, &stream_events, side, &side->stream) !=
		    pcclSuccess)
			die("dial");
	} else if (pccl_tcp.listen(&pccl_tcp, side->loop, &address, on_accepted, side, &side->listener, &board->port) !=
		   pcclSuccess) {
		die("listen");
	}
}

static void set_up_link(struct side *side, struct board *board, bool dials)
{
	struct pccl_link_config config = {.loop = side->loop,
					  .name = "the other side",
					  .dials = dials,
					  .streams = 1,
					  .connect_timeout_ns = 5000000000u};
	struct pccl_doorman *doorman;

	config.self.data[0] = dials ? 1 : 2;
	config.neighbour.data[0] = dials ? 2 : 1;
	config.places[0].transport = &pccl_tcp;
	config.places[0].address = loopback(board->port);
	config.place_count = dials ? 1 : 0;
	if (!dials) {
		if (pccl_doorman_create(side->loop, &pccl_tcp, &config.places[0].address, 0, 5000000000u, on_arrived,
					side, &doorman) != pcclSuccess)
			die("doorman");
		board->port = pccl_doorman_port(doorman);
	}
	if (pccl_link_create(&config, &link_events, side, &side->link) != pcclSuccess)
		die("link");
}

static void run_looped(struct side *side, struct board *board, uint32_t kind, bool dials)
{
	double cpu;
	uint64_t start_ns;

	if (pccl_loop_create(&side->loop) != pcclSuccess)
		die("loop");
	if (dials)
		meet(board, 2); /* the port is known */
	if (kind == 2)
		set_up_stream(side, board, dials);
	else
		set_up_link(side, board, dials);
	if (!dials)
		meet(board, 2);
	cpu = cpu_now();
	start_ns = pccl_clock_ns();
	turn_until_done(side);
	board->wall_s[dials] = 1e-9 * (double)(pccl_clock_ns() - start_ns);
	board->cpu_s[dials] = cpu_now() - cpu;
	__atomic_add_fetch(&board->arrived, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&board->arrived, __ATOMIC_SEQ_CST) < 4)
		pccl_loop_turn(side->loop, pccl_clock_ns() + 1000000);
}

static void run_sockets(struct side *side, struct board *board, const int fds[2], bool dials)
{
	double cpu;
	uint64_t start_ns;

	meet(board, 2);
	cpu = cpu_now();
	start_ns = pccl_clock_ns();
	exchange_bare(side, fds[0], fds[1]);
	board->wall_s[dials] = 1e-9 * (double)(pccl_clock_ns() - start_ns);
	board->cpu_s[dials] = cpu_now() - cpu;
	meet(board, 4);
}

static void connect_pair(int ends[2])
{
	struct pccl_address address = loopback(0);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int one = 1;
	int i;

	if (bind(listener, (struct sockaddr *)&address.storage, address.bytes) != 0 || listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address.storage, &address.bytes) != 0)
		die("listen");
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(ends[0], (struct sockaddr *)&address.storage, address.bytes) != 0)
		die("connect");
	ends[1] = accept(listener, NULL, NULL);
	for (i = 0; i < 2; i++)
		setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	close(listener);
}

static void run_side(const struct side *sizes, struct board *board, uint32_t kind, int pairs[2][2], bool dials)
{
	struct side side = *sizes;
	int fds[2];

	side.source = malloc(SOURCE_BYTES);
	side.slots = malloc((size_t)SLOTS * side.frame_bytes);
	if (side.source == NULL || side.slots == NULL)
		die("malloc");
	memset(side.source, 1, SOURCE_BYTES);
	memset(side.slots, 1, (size_t)SLOTS * side.frame_bytes);
	if (kind >= 2) {
		run_looped(&side, board, kind, dials);
		return;
	}
	/* One socket for both directions, or each side sends on the one that the other receives on. */
	fds[0] = pairs[kind == 1 && dials][dials];
	fds[1] = pairs[kind == 1 && !dials][dials];
	run_sockets(&side, board, fds, dials);
}

static void start_side(const struct side *sizes, struct board *board, uint32_t kind, int pairs[2][2], bool dials)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child > 0)
		return;
	run_side(sizes, board, kind, pairs, dials);
	_exit(0);
}

/* One round of one kind. Returns GB/s each way. */
static double run_once(const struct side *sizes, struct board *board, uint32_t kind, double *cpu_out)
{
	int pairs[2][2];
	double wall;
	int i;

	memset(board, 0, sizeof(*board));
	connect_pair(pairs[0]);
	connect_pair(pairs[1]);
	start_side(sizes, board, kind, pairs, true);
	start_side(sizes, board, kind, pairs, false);
	while (wait(NULL) > 0)
		;
	for (i = 0; i < 2; i++) {
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
	wall = board->wall_s[0] > board->wall_s[1] ? board->wall_s[0] : board->wall_s[1];
	*cpu_out = (board->cpu_s[0] + board->cpu_s[1]) / (2.0 * (double)sizes->total_bytes / (double)(1u << 30));
	return 1e-9 * (double)sizes->total_bytes / wall;
}

static int by_value(const void *left, const void *right)
{
	double difference = *(const double *)left - *(const double *)right;

	return difference < 0 ? -1 : difference > 0;
}

static uint32_t argument(int argc, char **argv, int index, uint32_t standard)
{
	return argc > index ? (uint32_t)strtoul(argv[index], NULL, 10) : standard;
}

int main(int argc, char **argv)
{
	static double speeds[KINDS][ROUNDS_MAX];
	static double cpus[KINDS][ROUNDS_MAX];
	struct side sizes = {0};
	uint32_t rounds = argument(argc, argv, 3, 5);
	struct board *board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint32_t round;
	uint32_t kind;

	sizes.frame_bytes = argument(argc, argv, 2, 256) << 10;
	sizes.total_bytes = (uint64_t)argument(argc, argv, 1, 1024) << 20;
	if (board == MAP_FAILED || rounds == 0 || rounds > ROUNDS_MAX || sizes.frame_bytes == 0 ||
	    sizes.frame_bytes > PCCL_FRAME_PAYLOAD_MAX || sizes.total_bytes % sizes.frame_bytes != 0) {
		fprintf(stderr, "usage: stream_speed [MIB [FRAME_KIB [ROUNDS]]]\n");
		return 2;
	}
	for (round = 0; round < rounds; round++)
		for (kind = 0; kind < KINDS; kind++)
			speeds[kind][round] = run_once(&sizes, board, kind, &cpus[kind][round]);
	for (kind = 0; kind < KINDS; kind++) {
		qsort(speeds[kind], rounds, sizeof(double), by_value);
		qsort(cpus[kind], rounds, sizeof(double), by_value);
		printf("%-8s GB/s each way: median %.2f best %.2f   CPU s/GiB: median %.3f best %.3f\n",
		       kind_names[kind], speeds[kind][rounds / 2], speeds[kind][rounds - 1], cpus[kind][rounds / 2],
		       cpus[kind][0]);
	}
	return 0;
}
