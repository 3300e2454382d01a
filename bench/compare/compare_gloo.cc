// Gloo's all-reduce over TCP on loopback, one process per peer: --mode ring (the options interface), chunked (the
// older ring with chunks) or halving (halving-doubling). Rendezvous through files in a temporary directory.
#include "common.h"

#include <gloo/allreduce.h>
#include <gloo/allreduce_halving_doubling.h>
#include <gloo/allreduce_ring_chunked.h>
#include <gloo/math.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/rendezvous/prefix_store.h>
#include <gloo/transport/tcp/device.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <ftw.h>
#include <unistd.h>

namespace {

char rendezvous_directory[] = "/tmp/compare-gloo-XXXXXX";

std::shared_ptr<gloo::Context> join(int rank, int peers)
{
	gloo::transport::tcp::attr attributes;
	attributes.iface = "lo";
	auto device = gloo::transport::tcp::CreateDevice(attributes);
	gloo::rendezvous::FileStore files{std::string(rendezvous_directory)};
	gloo::rendezvous::PrefixStore store("run", files);
	auto context = std::make_shared<gloo::rendezvous::Context>(rank, peers);

	context->setTimeout(std::chrono::seconds(60));
	context->connectFullMesh(store, device);
	return context;
}

// What one iteration runs; made once per size, because the older algorithms allocate when they are made.
std::function<void()> algorithm(const std::string &mode, const std::shared_ptr<gloo::Context> &context,
				std::vector<float> &buffer)
{
	if (mode == "chunked") {
		auto ring = std::make_shared<gloo::AllreduceRingChunked<float>>(
			context, std::vector<float *>{buffer.data()}, static_cast<int>(buffer.size()));
		return [ring] { ring->run(); };
	}
	if (mode == "halving") {
		auto halving = std::make_shared<gloo::AllreduceHalvingDoubling<float>>(
			context, std::vector<float *>{buffer.data()}, static_cast<int>(buffer.size()));
		return [halving] { halving->run(); };
	}
	return [context, &buffer] {
		gloo::AllreduceOptions options(context);
		options.setOutput(buffer.data(), buffer.size());
		options.setReduceFunction(
			static_cast<void (*)(void *, const void *, const void *, size_t)>(&gloo::sum<float>));
		gloo::allreduce(options);
	};
}

void measure(int rank, const compare_options *options, compare_board *board, size_t bytes,
	     const std::shared_ptr<gloo::Context> &context)
{
	std::vector<float> buffer(bytes / sizeof(float), 0.0f);
	const std::string mode = options->mode;
	auto run = algorithm(mode, context, buffer);

	for (int i = 0; i < options->warmup; i++)
		run();
	compare_meet(board);
	const double cpu = compare_cpu();
	for (int i = 0; i < options->iterations; i++) {
		compare_meet(board);
		const double start = compare_now();
		run();
		compare_note(board, rank, i, compare_now() - start);
	}
	compare_note_cpu(board, rank, compare_cpu() - cpu);
	compare_meet(board);
	if (rank == 0)
		compare_print(board, ("gloo-" + mode).c_str(), bytes, options->iterations);
	compare_meet(board);
}

int body(int rank, const compare_options *options, compare_board *board)
{
	try {
		auto context = join(rank, options->peers);
		for (int i = 0; i < options->size_count; i++)
			measure(rank, options, board, options->sizes[i], context);
		compare_meet(board);
	} catch (const std::exception &problem) {
		std::fprintf(stderr, "gloo, rank %d: %s\n", rank, problem.what());
		return 1;
	}
	// Gloo's destructors may wait for connections that the other side has closed already.
	std::fflush(stdout);
	_exit(0);
}

int remove_entry(const char *path, const struct stat *, int, struct FTW *)
{
	return remove(path);
}

} // namespace

int main(int argc, char **argv)
{
	compare_options options;

	if (!compare_parse(argc, argv, &options))
		return 2;
	if (options.mode[0] == '\0')
		std::snprintf(options.mode, sizeof(options.mode), "ring");
	const std::string mode = options.mode;
	if (mode != "ring" && mode != "chunked" && mode != "halving") {
		std::fprintf(stderr, "--mode is ring, chunked or halving, not '%s'\n", options.mode);
		return 2;
	}
	if (mkdtemp(rendezvous_directory) == nullptr) {
		std::perror("mkdtemp");
		return 1;
	}
	const int status = compare_fork(&options, body);
	nftw(rendezvous_directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return status;
}
