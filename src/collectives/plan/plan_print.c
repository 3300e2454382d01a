/* A plan for people, one route a line. */
#include "collectives/plan/plan.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/names.h"

const char *pccl_collective_name(int kind)
{
	switch (kind) {
	case PCCL_ALL_REDUCE:
		return "all-reduce";
	case PCCL_REDUCE_SCATTER:
		return "reduce-scatter";
	case PCCL_ALL_GATHER:
		return "all-gather";
	case PCCL_BROADCAST:
		return "broadcast";
	case PCCL_BARRIER:
		return "barrier";
	case PCCL_REDUCE:
		return "reduce";
	case PCCL_GATHER:
		return "gather";
	case PCCL_SCATTER:
		return "scatter";
	case PCCL_ALL_TO_ALL:
		return "all-to-all";
	case PCCL_TRANSFER:
		return "send and receive";
	default:
		return "unknown";
	}
}

struct printer {
	char *text;
	size_t bytes;
	size_t length; /* of all that was to be printed, whether it fitted or not */
};

static void __attribute__((format(printf, 2, 3))) print(struct printer *printer, const char *format, ...)
{
	size_t left = printer->length < printer->bytes ? printer->bytes - printer->length : 0;
	va_list arguments;
	int written;

	va_start(arguments, format);
	written = vsnprintf(left > 0 ? printer->text + printer->length : NULL, left, format, arguments);
	va_end(arguments);
	if (written > 0)
		printer->length += (size_t)written;
}

static void print_list(struct printer *printer, const char *what, const uint32_t *ranks, uint32_t count)
{
	uint32_t index;

	if (count == 0)
		return;
	print(printer, "; %s", what);
	for (index = 0; index < count; index++)
		print(printer, " %u", ranks[index]);
}

static void print_route(struct printer *printer, const struct pccl_route *route)
{
	if (route->segment_count == 1)
		print(printer, "  segment %u", route->first_segment);
	else
		print(printer, "  segments %u-%u", route->first_segment,
		      route->first_segment + route->segment_count - 1);
	print_list(printer, "own input to", route->own_to, route->own_to_count);
	print_list(printer, route->input_is_sum ? "add the sum of, and own," : "add", route->inputs,
		   route->input_count);
	if (route->sum_to != PCCL_RANK_NONE)
		print(printer, "; sum to %u", route->sum_to);
	if (route->result_is_own)
		print(printer, "; own input is the result");
	if (route->result_from != PCCL_RANK_NONE)
		print(printer, "; result from %u", route->result_from);
	print_list(printer, "result to", route->result_to, route->result_to_count);
	print(printer, "\n");
}

size_t pccl_plan_print(const struct pccl_plan *plan, char *text, size_t text_bytes)
{
	struct printer printer = {text, text_bytes, 0};
	uint32_t index;

	if (text_bytes > 0)
		text[0] = '\0';
	print(&printer, "%s, %s, rank %u of %u\n", pccl_collective_name((int)plan->kind),
	      pccl_name_or_mark(pcclEnumPlan, (int)plan->algorithm), plan->rank, plan->ranks);
	for (index = 0; index < plan->route_count; index++)
		print_route(&printer, plan->routes + index);
	return printer.length;
}
