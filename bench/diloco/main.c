/* diloco-train: trains a character model with several processes on this machine, in one mode after the other. */
#include "train.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "../local.h"

static const char usage[] =
	"usage: diloco-train [OPTION]...\n"
	"Processes on this machine train a character model on the licences in /usr/share/common-licenses\n"
	"(Debian: base-files), in one mode after the other, and what that cost is compared.\n"
	"  --modes LIST         of ddp, synchronous, delayed, eager, streaming; default ddp,synchronous,streaming\n"
	"  --peers N            processes, 2 to 16; default 4\n"
	"  --steps N            inner steps of each; default 1000\n"
	"  --interval H         steps between rounds of a fragment; default 50\n"
	"  --fragments P        default 1; at most 59\n"
	"  --overlap T          streaming: steps that an exchange has; default 5, or one less than a short --interval\n"
	"  --alpha A            streaming: part of the local parameters that stays; default 0.5\n"
	"  --rule NAME          nesterov or co2\n"
	"  --learning-rate R, --momentum M   of the outer rule; default 0.7 and 0.9\n"
	"  --codec NAME         how pseudo-gradients travel, e.g. int4, e3m0; default as they are\n"
	"  --error-feedback     keep what the codec takes away for the next round\n"
	"  --seed N             default 1\n"
	"  --chaos              every three intervals a peer is killed and a new one joins (not in ddp)\n"
	"  --link RATE:RTT[:LOSS]  each peer in a network namespace of its own, behind a link such as 20mbit:40ms or\n"
	"                       20mbit:200ms:10%; the peak rate is that of the link then, else of what the library "
	"says\n"
	"                       it has sent\n"
	"  --step-time MS       a step takes at least so long\n"
	"  --slow               the last peer takes twice --step-time\n"
	"  --quorum N, --grace MS   synchronous rounds wait for so many, then so long for the others; a run goes by\n"
	"                       rounds then: as many as --steps would have\n"
	"  --svg FILE           a plot of loss over bytes\n"
	"  --json               one line per run, instead of the table\n";

enum {
	MODES = 256,
	PEERS,
	STEPS,
	INTERVAL,
	FRAGMENTS,
	OVERLAP,
	ALPHA,
	RULE,
	RATE,
	MOMENTUM,
	CODEC,
	FEEDBACK,
	SEED,
	CHAOS,
	LINK,
	STEP_TIME,
	SLOW,
	QUORUM,
	GRACE,
	SVG,
	JSON,
	HELP
};

static const struct option longs[] = {{"modes", required_argument, NULL, MODES},
				      {"peers", required_argument, NULL, PEERS},
				      {"steps", required_argument, NULL, STEPS},
				      {"interval", required_argument, NULL, INTERVAL},
				      {"fragments", required_argument, NULL, FRAGMENTS},
				      {"overlap", required_argument, NULL, OVERLAP},
				      {"alpha", required_argument, NULL, ALPHA},
				      {"rule", required_argument, NULL, RULE},
				      {"learning-rate", required_argument, NULL, RATE},
				      {"momentum", required_argument, NULL, MOMENTUM},
				      {"codec", required_argument, NULL, CODEC},
				      {"error-feedback", no_argument, NULL, FEEDBACK},
				      {"seed", required_argument, NULL, SEED},
				      {"chaos", no_argument, NULL, CHAOS},
				      {"link", required_argument, NULL, LINK},
				      {"step-time", required_argument, NULL, STEP_TIME},
				      {"slow", no_argument, NULL, SLOW},
				      {"quorum", required_argument, NULL, QUORUM},
				      {"grace", required_argument, NULL, GRACE},
				      {"svg", required_argument, NULL, SVG},
				      {"json", no_argument, NULL, JSON},
				      {"help", no_argument, NULL, HELP},
				      {NULL, 0, NULL, 0}};

static bool fail(const char *text)
{
	(void)fprintf(stderr, "diloco-train: %s\n", text);
	return false;
}

static bool number(const char *text, unsigned long least, unsigned long most, unsigned *value_out)
{
	char *end;
	const unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || text[0] == '-' || value < least || value > most) {
		(void)fprintf(stderr, "diloco-train: %s is no number from %lu to %lu\n", text, least, most);
		return false;
	}
	*value_out = (unsigned)value;
	return true;
}

static bool real(const char *text, float *value_out)
{
	char *end;

	*value_out = strtof(text, &end);
	return end != text && *end == '\0' ? true : fail("what is given is no number");
}

static bool name(pcclEnum_t which, const char *text, int *value_out)
{
	return pcclParseName(which, text, value_out) == pcclSuccess ? true : fail(pcclGetLastError(NULL));
}

static bool parse_modes(struct options *options, char *list)
{
	char *rest = list, *word;

	options->run_count = 0;
	while ((word = strtok_r(rest, ",", &rest)) != NULL) {
		int mode = TRAIN_DDP;

		if (options->run_count == TRAIN_RUNS_MAX)
			return fail("too many modes");
		if (strcmp(word, "ddp") != 0 && !name(pcclEnumDilocoMode, word, &mode))
			return false;
		options->modes[options->run_count++] = mode;
	}
	return options->run_count > 0 ? true : fail("no mode is given");
}

static bool take(struct options *options, int which, char *text)
{
	pcclDilocoSettings_t *settings = &options->settings;
	unsigned seed;
	float value_ms;
	int value;

	switch (which) {
	case MODES:
		return parse_modes(options, text);
	case PEERS:
		return number(text, 2, TRAIN_PEERS_MAX, &options->peers);
	case STEPS:
		return number(text, 1, 10000000, &options->steps);
	case INTERVAL:
		return number(text, 1, 1000000, &settings->interval);
	case FRAGMENTS:
		return number(text, 1, MODEL_TENSORS, &settings->fragments);
	case OVERLAP:
		return number(text, 0, 1000000, &settings->overlap);
	case ALPHA:
		return real(text, &settings->alpha);
	case RATE:
		return real(text, &settings->learning_rate);
	case MOMENTUM:
		return real(text, &settings->momentum);
	case RULE:
		if (!name(pcclEnumDilocoRule, text, &value))
			return false;
		settings->rule = (pcclDilocoRule_t)value;
		return true;
	case CODEC:
		if (!name(pcclEnumCodec, text, &value))
			return false;
		settings->codec = (pcclQuantizationAlgorithm_t)value;
		return true;
	case SEED:
		if (!number(text, 0, 1000000, &seed))
			return false;
		options->seed = seed;
		return true;
	case FEEDBACK:
		settings->error_feedback = true;
		return true;
	case CHAOS:
		options->chaos = true;
		return true;
	case LINK:
		options->has_link = lab_parse(text, &options->lab);
		return options->has_link ? true : fail("a link is given as RATE:RTT, as in 20mbit:40ms");
	case STEP_TIME:
		if (!real(text, &value_ms) || !(value_ms >= 0) || value_ms > 1e6f)
			return fail("that is no time of a step");
		options->step_ms = (double)value_ms;
		return true;
	case SLOW:
		options->is_slow = true;
		return true;
	case QUORUM:
		return number(text, 1, TRAIN_PEERS_MAX, &settings->quorum);
	case GRACE:
		return number(text, 0, 1000000, &settings->grace_ms);
	case SVG:
		options->svg = text;
		return true;
	case JSON:
		options->json = true;
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	struct options options = {.peers = 4,
				  .steps = 1000,
				  .seed = 1,
				  .modes = {TRAIN_DDP, pcclDilocoSynchronous, pcclDilocoStreaming},
				  .run_count = 3,
				  .settings = PCCL_DILOCO_SETTINGS_INITIALIZER};
	struct outcome outcomes[TRAIN_RUNS_MAX], *shared;
	struct text text;
	unsigned i, divergences = 0;
	bool fine = true;
	int which;

	options.settings.interval = 50;
	options.settings.overlap = UINT32_MAX;
	while ((which = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (which == HELP) {
			(void)fputs(usage, stdout);
			return bench_end(0);
		}
		if (!take(&options, which, optarg))
			return 2;
	}
	if (optind < argc)
		return fail("what is not an option is not known; see --help") ? 0 : 2;
	if (options.settings.overlap == UINT32_MAX)
		options.settings.overlap = options.settings.interval > 5 ? 5 : options.settings.interval - 1;
	if (options.chaos && options.settings.quorum > 0)
		return fail("newcomers join at a step that all make: with a quorum there is none") ? 0 : 2;
	shared = bench_share(sizeof(*shared));
	if (shared == NULL || !text_load(&text) || (options.has_link && !lab_start(&options.lab)))
		return 1;
	for (i = 0; i < options.run_count && fine; i++) {
		fine = run_training(&options, &text, options.modes[i], shared);
		outcomes[i] = *shared;
		divergences += shared->divergences;
	}
	lab_stop(&options.lab);
	if (!fine)
		return 1;
	if (options.svg != NULL && !report_svg(&options, outcomes))
		return fail("the plot can't be written") ? 0 : 1;
	if (options.json)
		report_json(&options, outcomes);
	else
		report_table(&options, outcomes);
	return bench_end(divergences > 0 ? 1 : 0);
}
