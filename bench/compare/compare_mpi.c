/*
 * Open MPI's (or MPICH's) MPI_Allreduce, in place; run it with mpirun, which also chooses the wire:
 *	mpirun -np 4 --mca pml ob1 --mca btl tcp,self --mca btl_tcp_if_include lo compare-mpi --sizes 64M
 *
 * The ranks meet in MPI's own barrier: a rank that slept in another one would not move what the others still wait for.
 */
#include "common.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All ranks get the same board: the first makes it in a file, which is gone again once everybody has it open. */
static struct compare_board *share_board(int rank, int peers, int iterations)
{
	char path[64] = "/dev/shm/compare-mpi-XXXXXX";
	struct compare_board *board = NULL;

	if (rank == 0) {
		int fd = mkstemp(path);

		if (fd >= 0)
			close(fd);
		board = compare_board_create_file(path, peers, iterations);
	}
	MPI_Bcast(path, (int)sizeof(path), MPI_CHAR, 0, MPI_COMM_WORLD);
	if (rank != 0)
		board = compare_board_attach_file(path);
	MPI_Barrier(MPI_COMM_WORLD);
	if (rank == 0)
		unlink(path);
	return board;
}

static int measure(int rank, const struct compare_options *options, struct compare_board *board, size_t bytes)
{
	float *buffer = (float *)calloc(bytes / sizeof(float), sizeof(float));
	int count = (int)(bytes / sizeof(float));
	double cpu = 0;

	if (buffer == NULL)
		return 1;
	memset(buffer, 0, bytes);
	for (int i = 0; i < options->warmup; i++)
		MPI_Allreduce(MPI_IN_PLACE, buffer, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
	MPI_Barrier(MPI_COMM_WORLD);
	cpu = compare_cpu();
	for (int i = 0; i < options->iterations; i++) {
		double start;

		MPI_Barrier(MPI_COMM_WORLD);
		start = compare_now();
		MPI_Allreduce(MPI_IN_PLACE, buffer, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
		compare_note(board, rank, i, compare_now() - start);
	}
	compare_note_cpu(board, rank, compare_cpu() - cpu);
	MPI_Barrier(MPI_COMM_WORLD);
	if (rank == 0)
		compare_print(board, options->mode[0] == '\0' ? "mpi" : options->mode, bytes, options->iterations);
	MPI_Barrier(MPI_COMM_WORLD);
	free(buffer);
	return 0;
}

int main(int argc, char **argv)
{
	struct compare_options options;
	struct compare_board *board;
	int rank = 0, peers = 0, status = 0;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &peers);
	if (!compare_parse(argc, argv, &options) || peers > COMPARE_PEERS_MAX)
		MPI_Abort(MPI_COMM_WORLD, 2);
	board = share_board(rank, peers, options.iterations);
	if (board == NULL)
		MPI_Abort(MPI_COMM_WORLD, 1);
	for (int i = 0; i < options.size_count && status == 0; i++)
		status = measure(rank, &options, board, options.sizes[i]);
	MPI_Finalize();
	return status;
}
